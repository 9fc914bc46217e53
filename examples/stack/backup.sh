#!/bin/sh
# Writes a dump of the database to a file, which is either the old one or the whole new one.
set -eu
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
pg_dump --dbname "$DATABASE" --file "$1.new"
mv "$1.new" "$1"
echo "$(grep -c '^[0-9]' "$1") visits are in $1"
