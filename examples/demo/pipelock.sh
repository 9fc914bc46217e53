# Stands for a scanner of what goes out. It knows its allowlist from its start only: a new one needs a restart.

cd "$(dirname "$0")" || exit 1
nap() { sleep "$1" & wait $! 2>/dev/null || kill $! 2>/dev/null; }
trap 'echo "SIGTERM: closing"; kill -KILL $! 2>/dev/null; exit 0' TERM

allowed=" $(grep -v '^#' allowlist.txt | tr '\n' ' ')"
echo "up, pid $$; allows$allowed"
if env | grep -q '^EGRESS_TOKEN_'; then
	echo "a token of egress is in my environment: that must not be"
else
	echo "no EGRESS_TOKEN_* in my environment, as it should be"
fi
while :; do
	for host in api.example.com packages.example.com git.example.org; do
		nap 8
		case "$allowed" in
		*" $host "*) echo "allowed $host" ;;
		*) echo "blocked $host: not in allowlist.txt" ;;
		esac
	done
done
