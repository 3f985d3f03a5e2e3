-- How often the password a person signs in with was changed. A code keeps the number as it was at the
-- sign-in, and when that was: the tokens of a sign-in end with the password.
ALTER TABLE identity ADD COLUMN sign_in_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authorization_code ADD COLUMN sign_in_generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authorization_code ADD COLUMN signed_in BIGINT NOT NULL DEFAULT 0;
