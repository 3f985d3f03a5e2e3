-- The owners of accounts that their source no longer lists, by the system's own id: an account that
-- comes back is known by it.
CREATE TABLE account_removed (
    source_id TEXT NOT NULL,
    stable_id TEXT NOT NULL,
    confirmed_owner TEXT NOT NULL,
    manually_correlated BOOLEAN NOT NULL,
    removed BIGINT NOT NULL,
    PRIMARY KEY (source_id, stable_id)
);
CREATE INDEX account_removed_removed ON account_removed (source_id, removed);
-- The oids of roles repeat in other clusters, and so the ids kept from now on name the cluster, too:
-- these accounts wait for an aggregation.
UPDATE account SET stable_id = NULL, generation = 0 WHERE source_id IN (SELECT id FROM source WHERE connector = 'postgresql');
