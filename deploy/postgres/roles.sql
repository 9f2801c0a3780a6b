-- Roles for Keygate in PostgreSQL, each with no more rights than its work needs:
--
--   keygate_owner     makes and alters the tables: `keygate migrate`, nothing else
--   keygate_gateway   `keygate serve` without `admin:`: reads records, writes usage and signs of life
--   keygate_console   `keygate serve` with `admin:`: what keygate_gateway and keygate_admin may, since people change
--                     records through it
--   keygate_admin     `keygate keys`, `people`, …: reads and changes records and what people sign in with; adds to the
--                     audit, but alters none of it
--
-- Run it in Keygate's database as a superuser, before the first `keygate migrate`, and again after each one, then also as
-- keygate_owner, which only gives rights on the tables:
--
--   psql keygate -f deploy/postgres/roles.sql
--   KEYGATE_DATABASE=postgres://keygate_owner@db.internal/keygate keygate migrate
--   psql keygate -f deploy/postgres/roles.sql
--
-- It may be run any number of times. Give the roles passwords by \password, or certificates by pg_hba.conf.

DO $$
DECLARE
    role TEXT;
BEGIN
    IF current_user <> 'keygate_owner' THEN
        FOREACH role IN ARRAY ARRAY['keygate_owner', 'keygate_gateway', 'keygate_admin', 'keygate_console'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I LOGIN', role);
            END IF;
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        END LOOP;
        EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        GRANT CREATE ON SCHEMA public TO keygate_owner;
        GRANT keygate_gateway, keygate_admin TO keygate_console;
    END IF;

    IF to_regclass('public.schema_version') IS NULL THEN
        RAISE NOTICE 'there are no tables yet: run keygate migrate as keygate_owner, then this again';
        RETURN;
    END IF;

    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM keygate_gateway, keygate_admin;

    GRANT SELECT ON schema_version, head, organizations, people, keys, commits, changes TO keygate_gateway;
    GRANT SELECT, INSERT, UPDATE, DELETE ON usage, usage_scopes, replicas, acknowledgements, limit_claims
        TO keygate_gateway;

    GRANT SELECT ON ALL TABLES IN SCHEMA public TO keygate_admin;
    GRANT UPDATE ON head TO keygate_admin;
    -- No DELETE: what was revoked stays on record.
    GRANT INSERT, UPDATE ON organizations, people, keys TO keygate_admin;
    GRANT INSERT, DELETE ON commits, changes TO keygate_admin;
    GRANT INSERT ON audit TO keygate_admin;
    -- What was made already by a form that is sent twice.
    GRANT INSERT, DELETE ON submissions TO keygate_admin;
    GRANT INSERT, UPDATE, DELETE ON passwords, links, sessions TO keygate_admin;
    -- Replicas that are gone.
    GRANT DELETE ON replicas, acknowledgements, limit_claims TO keygate_admin;
END
$$;
