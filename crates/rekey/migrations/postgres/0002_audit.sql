-- Why it failed; null where it did not. Whence the request came: JSON. A keyed digest of the row,
-- which nobody can make without the master key.
ALTER TABLE audit ADD COLUMN failure TEXT;
ALTER TABLE audit ADD COLUMN origin TEXT;
ALTER TABLE audit ADD COLUMN mac BYTEA;

-- The order of the trail, without gaps: a row's seq is drawn before it is committed.
CREATE TABLE audit_chain (
    position BIGINT PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL UNIQUE,
    hash BYTEA NOT NULL
);

CREATE TABLE audit_checkpoint (
    size BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL
);
