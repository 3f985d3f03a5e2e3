-- Why it failed; null where it did not. Whence the request came: JSON. A keyed digest of the row,
-- which nobody can make without the master key.
ALTER TABLE audit ADD COLUMN failure TEXT;
ALTER TABLE audit ADD COLUMN origin TEXT;
ALTER TABLE audit ADD COLUMN mac BLOB;

-- The order of the trail, without gaps: a row's seq is drawn before it is committed.
CREATE TABLE audit_chain (
    position INTEGER PRIMARY KEY NOT NULL,
    seq INTEGER NOT NULL UNIQUE,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_checkpoint (
    size INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
