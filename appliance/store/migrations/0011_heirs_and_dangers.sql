-- What was issued, or promised, to renew one device's identity ends with that identity, which every
-- renewal asks about. Of those that no device is named for there are none in here.
CREATE INDEX certificates_unused ON certificates (issued_for)
 WHERE enrollment_id IS NULL AND issued_for IS NOT NULL;
CREATE INDEX challenges_by_device ON challenges (issued_for) WHERE issued_for IS NOT NULL;

-- How many dangerous commands somebody ordered within the hour is asked before each further one.
CREATE INDEX events_commands_ordered ON events (at) WHERE kind = 'command.ordered';
