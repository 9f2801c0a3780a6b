#!/bin/sh
# Gives each role the password that its secret holds. PostgreSQL's image runs it when it makes its data folder.
set -eu
for role in owner gateway admin; do
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$(cat "${SECRETS:-/run/secrets}/$role-password")" \
        --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
ALTER ROLE keygate_$role PASSWORD :'password';
SQL
done
