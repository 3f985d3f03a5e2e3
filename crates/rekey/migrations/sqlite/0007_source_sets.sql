-- The sources that a change needs a permit of, sorted, with blanks between: changes with the same set
-- wait in one queue, and a claim reads no further into a queue than it may take from it.
ALTER TABLE password_change ADD COLUMN source_set TEXT NOT NULL DEFAULT '';
UPDATE password_change SET source_set = (SELECT group_concat(source_id, ' ') FROM (SELECT DISTINCT source_id FROM password_change_target WHERE change_seq = seq ORDER BY source_id)) WHERE state = 0;
DROP INDEX password_change_due;
CREATE INDEX password_change_queue ON password_change (source_set, due) WHERE state = 0;
-- Expired changes are found wherever they stand in their queue.
CREATE INDEX password_change_deadline ON password_change (deadline) WHERE state = 0;
