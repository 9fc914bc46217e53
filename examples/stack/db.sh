#!/bin/sh
# PostgreSQL with a database "app"; the first start makes it. Debian keeps the programs by version.
set -eu
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --username app --auth trust --encoding UTF8 --locale C -D "$PGDATA" >/dev/null
	echo "create database app" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -D "$PGDATA" -h 127.0.0.1 -k ""
