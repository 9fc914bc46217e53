# Stands for a proxy to the outside. It sends requests along routes.txt, which it reads again on SIGHUP.

cd "$(dirname "$0")" || exit 1

# A shell runs a trap when the command in front has ended, and at once during wait: hence a sleep behind, and wait. If
# a signal cut the wait short, nobody needs that sleep any more. At the end it is killed: a shell that was just about to become
# that sleep has lost the SIGTERM of the whole group, and a stop lasts until the group is empty.
nap() { sleep "$1" & wait $! 2>/dev/null || kill $! 2>/dev/null; }

load() {
	routes=$(grep -v '^#' routes.txt)
	set -- $routes
	echo "routes.txt has $# routes"
}

trap 'echo "SIGTERM: closing"; kill -KILL $! 2>/dev/null; exit 0' TERM
trap 'echo "SIGHUP: reading the routes again"; load' HUP

if [ -n "$EGRESS_TOKEN_DEMO" ]; then
	echo "up, pid $$; EGRESS_TOKEN_DEMO is set, with ${#EGRESS_TOKEN_DEMO} characters"
else
	echo "up, pid $$; EGRESS_TOKEN_DEMO is not set"
fi
load
n=0
while :; do
	nap 6
	set -- $routes
	[ $# -gt 0 ] || continue
	shift $((n % $#))
	echo "GET https://$1/ 200"
	n=$((n + 1))
done
