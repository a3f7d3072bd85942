CREATE TABLE api_tokens (
    id             TEXT    PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    secret_sha256  BLOB    NOT NULL,
    scopes         TEXT    NOT NULL,             -- separated by spaces
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    revoked_at     INTEGER
) STRICT;

CREATE TABLE awaited_identities (
    enrollment_id  TEXT    PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    sha256         BLOB,               -- of its certificate; NULL: any of an authority below
    migrated_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE certificates (
    sha256              BLOB    PRIMARY KEY,     -- of the DER
    serial              TEXT    NOT NULL UNIQUE, -- lower-case hex
    der                 BLOB    NOT NULL,
    public_key_sha256   BLOB    NOT NULL,
    transaction_id      TEXT    NOT NULL,
    link_code           TEXT    REFERENCES enrollment_links (code),
    issued_for          TEXT,                    -- the enrollment whose identity it may replace
    enrollment_id       TEXT,                    -- the enrollment that uses it
    issued_at           INTEGER NOT NULL,
    not_after           INTEGER NOT NULL,
    revoked_at          INTEGER,
    revocation_reason   TEXT
, adopted INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE INDEX certificates_by_enrollment ON certificates (enrollment_id);

CREATE INDEX certificates_by_transaction ON certificates (transaction_id, public_key_sha256);

CREATE INDEX certificates_revoked ON certificates (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE INDEX certificates_unused ON certificates (issued_for)
 WHERE enrollment_id IS NULL AND issued_for IS NOT NULL;

CREATE TABLE challenges (
    sha256      BLOB    PRIMARY KEY,
    link_code   TEXT    REFERENCES enrollment_links (code),
    issued_for  TEXT,                            -- NULL: for any device that is not known yet
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER                          -- also set when found expired: it stays so
, exchange_id INTEGER REFERENCES exchanges (id) ON DELETE CASCADE) STRICT;

CREATE INDEX challenges_by_device ON challenges (issued_for) WHERE issued_for IS NOT NULL;

CREATE INDEX challenges_by_exchange ON challenges (exchange_id) WHERE exchange_id IS NOT NULL;

CREATE INDEX challenges_by_expiry ON challenges (expires_at);

CREATE INDEX command_backlog ON commands (enrollment_id, id) WHERE finished_at IS NULL;

CREATE INDEX command_expiry ON commands (expires_at)
 WHERE finished_at IS NULL AND expires_at IS NOT NULL;

CREATE INDEX command_history ON commands (enrollment_id, id);

CREATE TABLE command_payloads (
    command_id  INTEGER PRIMARY KEY REFERENCES commands (id) ON DELETE CASCADE,
    body        BLOB    NOT NULL                 -- XML plist, sent byte for byte, or sealed
, shared_id INTEGER REFERENCES shared_payloads (id)) STRICT;

CREATE INDEX command_payloads_shared ON command_payloads (shared_id) WHERE shared_id IS NOT NULL;

CREATE TABLE command_results (
    command_id  INTEGER PRIMARY KEY REFERENCES commands (id) ON DELETE CASCADE,
    body        BLOB    NOT NULL,                -- the device's answer, byte for byte
    sealed      INTEGER NOT NULL DEFAULT 0 CHECK (sealed IN (0, 1))
) STRICT;

CREATE TABLE "commands" (
    id             INTEGER PRIMARY KEY,          -- also the order within a queue
    uuid           TEXT    NOT NULL,
    enrollment_id  TEXT    NOT NULL REFERENCES enrollments (id) ON DELETE CASCADE,
    request_type   TEXT    NOT NULL,
    sealed         INTEGER NOT NULL DEFAULT 0 CHECK (sealed IN (0, 1)), -- emptied when finished
    status         TEXT    NOT NULL DEFAULT 'queued',
    queued_at      INTEGER NOT NULL,
    pushed_at      INTEGER,                      -- Apple accepted the push that announces it
    connected_at   INTEGER,                      -- the device first received it
    finished_at    INTEGER,
    expires_at     INTEGER,
    error_chain    TEXT,                         -- JSON
    not_before     INTEGER,                      -- not handed out, nor announced, before
    restored_at    INTEGER,                      -- unfinished in a backup that was restored then
    UNIQUE (uuid, enrollment_id),
    CHECK (CASE WHEN finished_at IS NULL
                THEN status = 'queued' OR status = 'sent' OR status = 'not_now'
                ELSE status = 'acknowledged' OR status = 'error' OR status = 'format_error'
                     OR status = 'cancelled' OR status = 'expired' END)
) STRICT;

CREATE INDEX commands_restored ON commands (restored_at) WHERE restored_at IS NOT NULL;

CREATE TABLE devices (
    enrollment_id        TEXT PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    serial_number        TEXT,
    udid                 TEXT,
    name                 TEXT,
    model                TEXT,
    os_version           TEXT,
    facts                TEXT NOT NULL DEFAULT '{}', -- JSON of mdm/device.DeviceFacts
    information          TEXT,                       -- JSON of the last DeviceInformation answer
    information_at       INTEGER,
    security             TEXT,                       -- JSON of the last SecurityInfo answer
    security_at          INTEGER
) STRICT;

CREATE INDEX devices_by_serial ON devices (serial_number);

CREATE TABLE enrollment_links (
    code        TEXT    PRIMARY KEY,
    label       TEXT    NOT NULL DEFAULT '',
    uses        INTEGER NOT NULL CHECK (uses > 0),
    used        INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND uses),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;

CREATE TABLE "enrollments" (
    id                     TEXT    PRIMARY KEY,
    device_id              TEXT    REFERENCES enrollments (id), -- NULL on the device channel
    type                   TEXT    NOT NULL,
    state                  TEXT    NOT NULL
                           CHECK (state = 'authenticated' OR state = 'enrolled'
                                  OR state = 'checked_out' OR state = 'forgotten'),
    certificate_sha256     BLOB    REFERENCES certificates (sha256), -- device channel only
    topic                  TEXT,
    push_token             BLOB,
    push_magic             TEXT,
    token_update_tally     INTEGER NOT NULL DEFAULT 0,
    awaiting_configuration INTEGER NOT NULL DEFAULT 0,
    reenroll_until         INTEGER,                 -- an administrator allowed a new identity
    blocked_at             INTEGER,
    authenticated_at       INTEGER,
    enrolled_at            INTEGER,
    ended_at               INTEGER,
    last_seen_at           INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX enrollments_by_certificate ON enrollments (certificate_sha256);

CREATE INDEX enrollments_by_device ON enrollments (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE escrow (
    id             INTEGER PRIMARY KEY,
    enrollment_id  TEXT    NOT NULL REFERENCES enrollments (id) ON DELETE CASCADE,
    kind           TEXT    NOT NULL CHECK (kind IN ('unlock_token', 'bootstrap_token')),
    sealed         BLOB    NOT NULL,
    stored_at      INTEGER NOT NULL,
    archived_at    INTEGER
) STRICT;

CREATE UNIQUE INDEX escrow_current ON escrow (enrollment_id, kind) WHERE archived_at IS NULL;

CREATE TABLE events (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    enrollment_id  TEXT,
    data           TEXT    NOT NULL DEFAULT '{}' -- JSON, never a secret
) STRICT;

CREATE INDEX events_by_enrollment ON events (enrollment_id, id);

CREATE INDEX events_commands_ordered ON events (at) WHERE kind = 'command.ordered';

CREATE INDEX events_secrets_shown ON events (at) WHERE kind = 'secret.shown';

CREATE TABLE exchanges (
    id               INTEGER PRIMARY KEY,
    link_code        TEXT    NOT NULL REFERENCES enrollment_links (code),
    challenge        BLOB    UNIQUE,             -- SHA-256; NULL: none was needed
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    identified_at    INTEGER,                    -- the challenge is used; what follows is signed
    udid             TEXT,
    serial_number    TEXT,
    proven           INTEGER NOT NULL DEFAULT 0 CHECK (proven IN (0, 1)), -- by Apple's signature
    identity_sha256  BLOB    REFERENCES certificates (sha256), -- signs the last message, enrolls nothing
    finished_at      INTEGER,                    -- the enrollment profile was given
    device_sha256    BLOB    REFERENCES certificates (sha256)  -- the identity that it yields
) STRICT;

CREATE UNIQUE INDEX exchanges_by_device ON exchanges (device_sha256);

CREATE INDEX exchanges_by_expiry ON exchanges (expires_at)
 WHERE identity_sha256 IS NULL AND device_sha256 IS NULL;

CREATE UNIQUE INDEX exchanges_by_identity ON exchanges (identity_sha256);

CREATE INDEX exchanges_unfinished ON exchanges (expires_at) WHERE finished_at IS NULL;

CREATE TABLE former_authorities (
    sha256      BLOB    PRIMARY KEY,
    der         BLOB    NOT NULL,
    trusted_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    caller      TEXT    NOT NULL,
    key         TEXT    NOT NULL,                -- of the caller's choice
    request     BLOB    NOT NULL,                -- keyed hash: a request may hold a PIN
    answer      TEXT    NOT NULL,                -- JSON
    stored_at   INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (stored_at);

CREATE TABLE one_time_codes (
    sha256      BLOB    PRIMARY KEY,
    user_id     INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: makes the first user
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX one_time_codes_by_user ON one_time_codes (user_id);

CREATE TABLE push_certificate (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    topic        TEXT    NOT NULL,
    certificate  TEXT    NOT NULL,               -- PEM, leaf first
    sealed_key   BLOB    NOT NULL,
    not_after    INTEGER NOT NULL,
    account      TEXT    NOT NULL DEFAULT '',
    imported_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE pushes (
    enrollment_id  TEXT    PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    due_at         INTEGER,                      -- NULL: nothing pending
    attempts       INTEGER NOT NULL DEFAULT 0,   -- since the last success
    reminders      INTEGER NOT NULL DEFAULT 0,   -- successes that the device did not answer
    refused_at     INTEGER,                      -- no push until the next TokenUpdate
    sent_at        INTEGER,
    outcome        TEXT,
    apns_id        TEXT
) STRICT;

CREATE INDEX pushes_due ON pushes (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE renewals (
    enrollment_id  TEXT    PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    replaces       BLOB    NOT NULL,   -- SHA-256 of the identity that is to end
    command_uuid   TEXT    NOT NULL,
    queued_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    sha256      BLOB    PRIMARY KEY,              -- of the cookie's value
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE settings (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT;

CREATE TABLE shared_payloads (
    id    INTEGER PRIMARY KEY,
    name  TEXT    NOT NULL UNIQUE,               -- what it is bound to where it is sealed
    body  BLOB    NOT NULL                       -- XML plist, or sealed
) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE users (
    id                   INTEGER PRIMARY KEY,
    name                 TEXT    NOT NULL,
    folded_name          TEXT    NOT NULL UNIQUE, -- what is compared: "Aki" and "aki" are one user
    password             TEXT    NOT NULL,        -- Argon2id, as a PHC string
    created_at           INTEGER NOT NULL,
    password_changed_at  INTEGER NOT NULL,
    signed_in_at         INTEGER
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

CREATE INDEX webhook_finished ON webhook_deliveries (webhook_id, id) WHERE status <> 'waiting';

CREATE INDEX webhook_of_device ON webhook_deliveries (webhook_id, device_id, id)
 WHERE status = 'waiting';

CREATE TABLE webhook_receivers (
    id          TEXT    PRIMARY KEY,             -- as in webhooks
    sealed      BLOB    NOT NULL,                -- JSON of services/receivers.Receiver
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_waiting ON webhook_deliveries (webhook_id, id) WHERE status = 'waiting';

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

