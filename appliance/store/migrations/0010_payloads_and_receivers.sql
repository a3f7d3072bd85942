-- What one order sends to many devices, or what is long, is stored once, without a CommandUUID; each
-- command adds its own when it is handed out.
CREATE TABLE shared_payloads (
    id    INTEGER PRIMARY KEY,
    name  TEXT    NOT NULL UNIQUE,               -- what it is bound to where it is sealed
    body  BLOB    NOT NULL                       -- XML plist, or sealed
) STRICT;

ALTER TABLE command_payloads ADD COLUMN shared_id INTEGER REFERENCES shared_payloads (id);

CREATE INDEX command_payloads_shared ON command_payloads (shared_id) WHERE shared_id IS NOT NULL;

-- Receivers of events that were added by command; others stand in the configuration.
CREATE TABLE webhook_receivers (
    id          TEXT    PRIMARY KEY,             -- as in webhooks
    sealed      BLOB    NOT NULL,                -- JSON of services/receivers.Receiver
    created_at  INTEGER NOT NULL
) STRICT;
