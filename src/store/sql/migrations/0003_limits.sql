-- How much keys may ask for. The first column raises revisions as every other of its table; the table below raises none.

ALTER TABLE keys ADD COLUMN plan TEXT;      -- NULL: what the config says of keys without one

-- What each gateway is asked for of keys that are limited, and what part of each limit it takes: a few rows, written with the
-- signs of life. Where they are lost, as an unlogged table may be, the next one has them again.
CREATE UNLOGGED TABLE limit_claims (
    replica TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    rate_demand BIGINT NOT NULL,            -- what it is asked for, in millionths of the limit
    rate_share BIGINT NOT NULL,             -- what it takes, in parts of which the limit has 720,720
    concurrent_demand BIGINT NOT NULL,
    concurrent_share BIGINT NOT NULL,
    PRIMARY KEY (replica, key)
);
