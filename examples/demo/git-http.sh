# Stands for a git server over HTTP. It logs to stderr, which goes the same way as stdout, in order.

nap() { sleep "$1" & wait $! 2>/dev/null || kill $! 2>/dev/null; }
trap 'echo "SIGTERM: closing"; kill -KILL $! 2>/dev/null; exit 0' TERM

echo "up, pid $$" >&2
while :; do
	nap 10
	echo 'GET /bottle/demo.git/info/refs?service=git-upload-pack 200' >&2
done
