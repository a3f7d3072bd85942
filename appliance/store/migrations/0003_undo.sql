-- A command may be held for a moment, in which it can be undone.

ALTER TABLE commands ADD COLUMN not_before INTEGER; -- not handed out, nor announced, before
