-- The system's own id of an account, which outlives a rename and is never used again.
ALTER TABLE account ADD COLUMN stable_id TEXT;
-- The correlation generation of its source that an account was last confirmed in; 0 for never. An
-- account of an older generation than its source's cannot be changed: those of a store that had no
-- stable ids wait for the next aggregation.
ALTER TABLE account ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE source ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
-- The person that the account's correlation attribute names.
ALTER TABLE account ADD COLUMN claims TEXT;
-- Whether an administrator said whose it is, and the owner that it first had or that one confirmed.
ALTER TABLE account ADD COLUMN manually_correlated BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE account ADD COLUMN confirmed_owner TEXT;
-- Why it belongs to nobody, in words.
ALTER TABLE account ADD COLUMN uncorrelated_because TEXT;

CREATE UNIQUE INDEX account_stable_id ON account (source_id, stable_id) WHERE stable_id IS NOT NULL;
CREATE INDEX account_generation ON account (source_id, generation);
CREATE INDEX account_claims ON account (source_id, claims) WHERE claims IS NOT NULL;
CREATE INDEX account_uncorrelated_because ON account (source_id) WHERE uncorrelated_because IS NOT NULL;
