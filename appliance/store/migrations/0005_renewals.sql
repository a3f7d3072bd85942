-- The profile by which a device renews its identity, as it was queued last.

CREATE TABLE renewals (
    enrollment_id  TEXT    PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    replaces       BLOB    NOT NULL,   -- SHA-256 of the identity that is to end
    command_uuid   TEXT    NOT NULL,
    queued_at      INTEGER NOT NULL
) STRICT;

-- Devices that another server enrolled and that have not come to this one yet.
CREATE TABLE awaited_identities (
    enrollment_id  TEXT    PRIMARY KEY REFERENCES enrollments (id) ON DELETE CASCADE,
    sha256         BLOB,               -- of its certificate; NULL: any of an authority below
    migrated_at    INTEGER NOT NULL
) STRICT;

-- Of other servers; their certificates count for awaited devices alone.
CREATE TABLE former_authorities (
    sha256      BLOB    PRIMARY KEY,
    der         BLOB    NOT NULL,
    trusted_at  INTEGER NOT NULL
) STRICT;

ALTER TABLE certificates ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0; -- 1: another server's
