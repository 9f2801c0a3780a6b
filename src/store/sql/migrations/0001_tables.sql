-- Written for PostgreSQL; for SQLite, BYTEA reads BLOB and COLLATE "C" is left out. Instants are microseconds since
-- 1970 UTC: ends rounded down, starts up. Lists and maps are JSON; where they are NULL, the column's comment says what
-- that means.

-- Where the database stands: one row. Who changes records locks it first.
CREATE TABLE head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    instance TEXT NOT NULL,                 -- a UUID, made with the tables
    revision BIGINT NOT NULL,
    committed_at BIGINT NOT NULL
);

CREATE TABLE organizations (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT,
    projects TEXT                           -- NULL: it declares none, and any id is its own
);

CREATE TABLE people (
    id TEXT COLLATE "C" PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT,
    organization TEXT,                      -- NULL: the only one
    role TEXT NOT NULL,
    projects TEXT,                          -- NULL: all
    disabled BOOLEAN NOT NULL
);

-- Keys, also revoked ones. That no digest stands in both columns is seen to by whoever holds the lock of head.
CREATE TABLE keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT,
    labels TEXT,                            -- NULL: none
    organization TEXT,                      -- NULL: the owner's, or the only one
    owner TEXT,
    digest BYTEA NOT NULL UNIQUE,           -- SHA-256 of the secret
    previous_digest BYTEA UNIQUE,           -- of the secret before the last rotation
    previous_until BIGINT,
    prefix TEXT,
    scopes TEXT NOT NULL,
    projects TEXT,                          -- NULL: all
    created_at BIGINT,
    not_before BIGINT,
    expires_at BIGINT,
    addresses TEXT,                         -- NULL: anywhere
    revoked_at BIGINT,
    revoked_by TEXT,
    revoked_reason TEXT
);

-- When each revision was committed; the last 100,000 and more.
CREATE TABLE commits (
    revision BIGINT PRIMARY KEY,
    committed_at BIGINT NOT NULL
);

-- What each of those revisions changed. A revision that changed very much says only "everything".
CREATE TABLE changes (
    revision BIGINT NOT NULL,
    kind TEXT NOT NULL,                     -- organization, person, key, dropped, everything
    id TEXT,
    digest BYTEA                            -- dropped: it belonged to a key and no longer does
);
CREATE INDEX changes_by_revision ON changes (revision);

-- Who changed what: written with the change, never altered.
CREATE TABLE audit (
    revision BIGINT NOT NULL,
    position BIGINT NOT NULL,               -- within the revision
    committed_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    command TEXT NOT NULL,
    record TEXT NOT NULL,
    id TEXT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (revision, position)
);
CREATE INDEX audit_by_id ON audit (id);

-- How often each secret was used, by the hour.
CREATE TABLE usage (
    key TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,       -- a mark that tells secrets apart, no digest
    hour BIGINT NOT NULL,
    ok BIGINT NOT NULL,
    client_error BIGINT NOT NULL,
    server_error BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    aborted BIGINT NOT NULL,
    last_used BIGINT,
    last_client TEXT,
    last_refused BIGINT,
    PRIMARY KEY (key, secret, hour)
);

-- The gateways that follow this database: each writes its own row every few seconds.
CREATE TABLE replicas (
    id TEXT COLLATE "C" PRIMARY KEY,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    revision BIGINT NOT NULL,               -- in force there
    lease_ms BIGINT NOT NULL,
    when_stale TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    beat_at BIGINT NOT NULL
);

-- When each of them had put a revision in force.
CREATE TABLE acknowledgements (
    replica TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    acknowledged_at BIGINT NOT NULL,
    after_us BIGINT NOT NULL,               -- since it was committed
    streams_closed BIGINT NOT NULL,
    PRIMARY KEY (replica, revision)
);
