-- Comparisons in place of IN: of a list of more than two SQLite builds a table each time a row is
-- checked, which was most of what it cost to hand out a command, or to finish one.
CREATE TABLE new_enrollments (
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

INSERT INTO new_enrollments SELECT * FROM enrollments ORDER BY rowid;
DROP TABLE enrollments;
ALTER TABLE new_enrollments RENAME TO enrollments;

CREATE UNIQUE INDEX enrollments_by_certificate ON enrollments (certificate_sha256);
CREATE INDEX enrollments_by_device ON enrollments (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE new_commands (
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

INSERT INTO new_commands SELECT * FROM commands ORDER BY id;
DROP TABLE commands;
ALTER TABLE new_commands RENAME TO commands;

-- Covers the backlog only, so it stays small however long the history grows.
CREATE INDEX command_backlog ON commands (enrollment_id, id) WHERE finished_at IS NULL;
CREATE INDEX command_expiry ON commands (expires_at)
 WHERE finished_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX command_history ON commands (enrollment_id, id);
CREATE INDEX commands_restored ON commands (restored_at) WHERE restored_at IS NOT NULL;
