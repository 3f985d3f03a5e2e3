CREATE TABLE setting (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    id TEXT PRIMARY KEY NOT NULL,
    sealed BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE identity (
    id TEXT PRIMARY KEY NOT NULL,
    alias TEXT NOT NULL,
    alias_key TEXT NOT NULL UNIQUE,
    uid_key TEXT,
    name TEXT NOT NULL,
    email TEXT,
    capabilities TEXT NOT NULL,
    attributes TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;
CREATE INDEX identity_uid ON identity (uid_key) WHERE uid_key IS NOT NULL;

CREATE TABLE client (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_digest BLOB,
    identity_id TEXT,
    scope TEXT NOT NULL,
    grant_types TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    validity INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    expires INTEGER,
    last_used INTEGER,
    generation INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE authorization_code (
    digest BLOB PRIMARY KEY NOT NULL,
    client_id TEXT NOT NULL,
    identity_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT,
    scope TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL,
    revoked INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    description TEXT,
    connector TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    features TEXT NOT NULL,
    connector_attributes TEXT NOT NULL,
    extra TEXT NOT NULL,
    policy_id TEXT,
    deadline INTEGER,
    version INTEGER NOT NULL,
    healthy INTEGER NOT NULL,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE source_key (
    id TEXT PRIMARY KEY NOT NULL,
    source_id TEXT NOT NULL,
    padding TEXT NOT NULL,
    spki BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created INTEGER NOT NULL,
    accept_until INTEGER
) STRICT;
CREATE INDEX source_key_source ON source_key (source_id);

CREATE TABLE account (
    id TEXT PRIMARY KEY NOT NULL,
    source_id TEXT NOT NULL,
    identity_id TEXT,
    native_identity TEXT NOT NULL,
    name TEXT NOT NULL,
    attributes TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    locked INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    UNIQUE (source_id, native_identity)
) STRICT;
CREATE INDEX account_identity ON account (identity_id) WHERE identity_id IS NOT NULL;

CREATE TABLE builtin_password (
    source_id TEXT NOT NULL,
    native_identity TEXT NOT NULL,
    verifier TEXT NOT NULL,
    changes INTEGER NOT NULL,
    PRIMARY KEY (source_id, native_identity)
) STRICT, WITHOUT ROWID;

CREATE TABLE password_policy (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    description TEXT,
    members TEXT NOT NULL,
    default_policy INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE sync_group (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    policy_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE sync_group_source (
    source_id TEXT PRIMARY KEY NOT NULL,
    group_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_group_source_group ON sync_group_source (group_id);

-- One accepted request. `seq` is the order of acceptance; `due` is when a worker may next claim
-- it: at once, after a pause, or, while one holds it, at the end of that worker's lease.
CREATE TABLE password_change (
    seq INTEGER PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    caller TEXT NOT NULL,
    identity_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    payload BLOB,
    state INTEGER NOT NULL,
    errors TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    lapses INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    due INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE INDEX password_change_due ON password_change (due) WHERE state = 0;

-- Its accounts: one, or one per member of the sync group.
CREATE TABLE password_change_target (
    change_seq INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    salt BLOB,
    stamp TEXT,
    announced INTEGER,
    error TEXT,
    PRIMARY KEY (change_seq, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX password_change_target_lane ON password_change_target (account_id, change_seq) WHERE state < 2;
-- Ended, with a write left behind that may still arrive.
CREATE INDEX password_change_target_left_behind ON password_change_target (account_id) WHERE state >= 2 AND announced IS NOT NULL;

-- What came with an Idempotency-Key: the same key with another body is a mistake.
CREATE TABLE idempotency_key (
    caller TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (caller, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    source_id TEXT,
    launcher TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    claimed_by TEXT,
    due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    launched INTEGER,
    completed INTEGER,
    completion_status TEXT,
    messages TEXT NOT NULL,
    result TEXT NOT NULL
) STRICT;
CREATE INDEX job_due ON job (due) WHERE completed IS NULL;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
