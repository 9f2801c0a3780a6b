-- What the console and the admin API need beside the records. None of it raises a revision.

-- What people sign in with: argon2id in the PHC string format.
CREATE TABLE passwords (
    person TEXT COLLATE "C" PRIMARY KEY,
    phc TEXT NOT NULL,
    set_at BIGINT NOT NULL
);

-- Links that work once.
CREATE TABLE links (
    token BYTEA PRIMARY KEY,                -- SHA-256 of it
    purpose TEXT NOT NULL,                  -- first owner, invitation, sign in
    person TEXT COLLATE "C" NOT NULL,       -- for whom; empty: the first owner
    made_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (purpose, person)
);

-- Browsers in which somebody is signed in.
CREATE TABLE sessions (
    token BYTEA PRIMARY KEY,                -- SHA-256 of it
    id TEXT COLLATE "C" NOT NULL,           -- what lists call it
    person TEXT COLLATE "C" NOT NULL,
    key TEXT,                               -- NULL: by no key
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    idle_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT,
    agent TEXT NOT NULL
);
CREATE INDEX sessions_by_person ON sessions (person);

-- What was made under which Idempotency-Key; for 24 hours.
CREATE TABLE submissions (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    request BYTEA NOT NULL,                 -- SHA-256 of what was asked for
    record TEXT NOT NULL,
    id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    committed_at BIGINT NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX submissions_by_commit ON submissions (committed_at);

-- Of which organization the record is; NULL: written before this column was there.
ALTER TABLE audit ADD COLUMN organization TEXT COLLATE "C";
CREATE INDEX audit_by_organization ON audit (organization, revision);

-- Keys newest first; no instant is as early as the number in place of NULL.
CREATE INDEX keys_newest ON keys (coalesce(created_at, -1000000000000000000) DESC, id DESC);
CREATE INDEX keys_by_owner ON keys (owner);
CREATE INDEX people_by_email ON people (lower(email COLLATE "C"));

-- Which scopes the requests of a key needed, and when last: tells a key that may do more than it does.
CREATE TABLE usage_scopes (
    key TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    last_used BIGINT NOT NULL,
    PRIMARY KEY (key, scope)
);
