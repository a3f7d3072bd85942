-- A request that its sender may repeat: what was answered, so that it is done once.

CREATE TABLE idempotency_keys (
    caller      TEXT    NOT NULL,
    key         TEXT    NOT NULL,                -- of the caller's choice
    request     BLOB    NOT NULL,                -- keyed hash: a request may hold a PIN
    answer      TEXT    NOT NULL,                -- JSON
    stored_at   INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (stored_at);

-- How many secrets somebody was shown within the hour is asked before each further one.
CREATE INDEX events_secrets_shown ON events (at) WHERE kind = 'secret.shown';
