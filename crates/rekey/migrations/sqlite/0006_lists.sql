-- The first 64 letters in lower case, for lists that are searched by the beginning of a name.
ALTER TABLE identity ADD COLUMN alias_prefix TEXT;
ALTER TABLE identity ADD COLUMN name_prefix TEXT;
ALTER TABLE identity ADD COLUMN email_prefix TEXT;
ALTER TABLE account ADD COLUMN name_prefix TEXT;
ALTER TABLE account ADD COLUMN native_prefix TEXT;
UPDATE identity SET alias_prefix = substr(lower(alias), 1, 64), name_prefix = substr(lower(name), 1, 64), email_prefix = substr(lower(email), 1, 64);
UPDATE account SET name_prefix = substr(lower(name), 1, 64), native_prefix = substr(lower(native_identity), 1, 64);
CREATE INDEX identity_alias_prefix ON identity (alias_prefix);
CREATE INDEX identity_name_prefix ON identity (name_prefix);
CREATE INDEX identity_email_prefix ON identity (email_prefix);
CREATE INDEX account_name_prefix ON account (name_prefix);
CREATE INDEX account_native_prefix ON account (native_prefix);

-- Who created it; null where it was created before this was kept.
ALTER TABLE source ADD COLUMN creator TEXT;

-- How many changes an account has had lately.
CREATE INDEX password_change_account ON password_change (account_id, created);
