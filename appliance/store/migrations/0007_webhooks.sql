-- Receivers of events and what waits for them. A receiver's address may hold a secret, so it stays
-- in the configuration and its hash stands for it here.

CREATE TABLE webhooks (
    id                 TEXT    PRIMARY KEY,
    waiting            INTEGER NOT NULL DEFAULT 0,
    waiting_bytes      INTEGER NOT NULL DEFAULT 0,
    delivered          INTEGER NOT NULL DEFAULT 0,   -- these four only grow
    retried            INTEGER NOT NULL DEFAULT 0,
    failed             INTEGER NOT NULL DEFAULT 0,
    dropped            INTEGER NOT NULL DEFAULT 0,
    failures           INTEGER NOT NULL DEFAULT 0,   -- since it last took something
    failing_since      INTEGER,
    retry_at           INTEGER,                      -- nothing is sent before
    problem            TEXT,                         -- the latest, until it takes something
    delivered_at       INTEGER,
    disabled_at        INTEGER
) STRICT;

CREATE TABLE webhook_deliveries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id    TEXT    NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id      TEXT    NOT NULL,
    topic         TEXT    NOT NULL,
    device_id     TEXT    NOT NULL,              -- its events go out one after the other
    body          BLOB    NOT NULL,              -- JSON without secrets
    created_at    INTEGER NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'waiting'
                  CHECK (status IN ('waiting', 'delivered', 'failed')),
    due_at        INTEGER,                       -- NULL while one of its device is before it
    attempts      INTEGER NOT NULL DEFAULT 0,
    attempted_at  INTEGER,
    answer        INTEGER,                       -- HTTP status of the last attempt, if any
    problem       TEXT
) STRICT;

CREATE INDEX webhook_due ON webhook_deliveries (webhook_id, due_at)
 WHERE status = 'waiting' AND due_at IS NOT NULL;
CREATE INDEX webhook_of_device ON webhook_deliveries (webhook_id, device_id, id)
 WHERE status = 'waiting';
CREATE INDEX webhook_waiting ON webhook_deliveries (webhook_id, id) WHERE status = 'waiting';
CREATE INDEX webhook_finished ON webhook_deliveries (webhook_id, id) WHERE status <> 'waiting';
