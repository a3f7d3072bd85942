-- Devices that show who they are before they get an enrollment profile: over the air, or MachineInfo.
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

CREATE UNIQUE INDEX exchanges_by_identity ON exchanges (identity_sha256);
CREATE UNIQUE INDEX exchanges_by_device ON exchanges (device_sha256);
CREATE INDEX exchanges_by_expiry ON exchanges (expires_at)
 WHERE identity_sha256 IS NULL AND device_sha256 IS NULL;
CREATE INDEX exchanges_unfinished ON exchanges (expires_at) WHERE finished_at IS NULL;

ALTER TABLE challenges ADD COLUMN exchange_id INTEGER REFERENCES exchanges (id) ON DELETE CASCADE;
CREATE INDEX challenges_by_exchange ON challenges (exchange_id) WHERE exchange_id IS NOT NULL;
