-- What a device is sent stands beside its command: that one changes twice on its way, and a profile
-- of many pages would be written again with each change.
CREATE TABLE command_payloads (
    command_id  INTEGER PRIMARY KEY REFERENCES commands (id) ON DELETE CASCADE,
    body        BLOB    NOT NULL                 -- XML plist, sent byte for byte, or sealed
) STRICT;

INSERT INTO command_payloads (command_id, body) SELECT id, payload FROM commands ORDER BY id;

ALTER TABLE commands DROP COLUMN payload;
