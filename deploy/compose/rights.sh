#!/bin/sh
# Gives the roles their rights on the tables that `keygate migrate` has made.
set -eu
PGPASSWORD=$(cat "${SECRETS:-/run/secrets}/database-password")
export PGPASSWORD
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "${DATABASE_HOST:-database}" --username keygate_owner \
    --dbname keygate --file "${ROLES:-/roles.sql}"
