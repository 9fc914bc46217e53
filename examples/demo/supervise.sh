# Stands for the daemon that the operator looks at. It watches the files of its neighbours, and says what to do.

cd "$(dirname "$0")" || exit 1
nap() { sleep "$1" & wait $! 2>/dev/null || kill $! 2>/dev/null; }
trap 'echo "SIGTERM: closing"; kill -KILL $! 2>/dev/null; exit 0' TERM

echo "up, pid $$; EGRESS_TOKEN_DEMO is ${EGRESS_TOKEN_DEMO-not set}; watching routes.txt and allowlist.txt"
routes=$(cksum <routes.txt) allowlist=$(cksum <allowlist.txt)
while :; do
	nap 2
	now=$(cksum <routes.txt)
	[ "$now" = "$routes" ] || echo "routes.txt has changed: SIGHUP to sidecar-init makes egress read it"
	routes=$now
	now=$(cksum <allowlist.txt)
	[ "$now" = "$allowlist" ] || echo "allowlist.txt has changed: SIGUSR1 to sidecar-init restarts pipelock with it"
	allowlist=$now
done
