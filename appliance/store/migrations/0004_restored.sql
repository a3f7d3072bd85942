-- A command that was unfinished in a backup: the device may have carried it out since.

ALTER TABLE commands ADD COLUMN restored_at INTEGER;

CREATE INDEX commands_restored ON commands (restored_at) WHERE restored_at IS NOT NULL;
