-- What audit rows say of people, apart from them, so that it can be erased. A row holds the
-- commitment: a keyed digest of the content under the salt.
CREATE TABLE audit_personal (
    commitment TEXT PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL,
    salt BYTEA NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX audit_personal_subject ON audit_personal (subject);
