#!/bin/sh
# What an agent does with a development server: start it in the background, wait for its port, read its log, and end it.
set -eu

sidecar-init add dev --ttl 10m --workdir "$PWD" --restart on-failure:3 -- python3 -u -m http.server 18888 --bind 127.0.0.1

until curl -sf -o /dev/null http://127.0.0.1:18888/bundle.yaml; do
	sidecar-init status dev >/dev/null # ends the script if it has gone
	sleep 0.2
done
echo "the server answers"

sidecar-init logs --lines 20 dev
sidecar-init remove dev # with all that it has started
echo "done"
exec sleep infinity
