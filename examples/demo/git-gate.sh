# Stands for a gate that looks through pushes before it lets them pass.

nap() { sleep "$1" & wait $! 2>/dev/null || kill $! 2>/dev/null; }
trap 'echo "SIGTERM: closing"; kill -KILL $! 2>/dev/null; exit 0' TERM

echo "up, pid $$"
n=0
while :; do
	nap 15
	n=$((n + 1))
	echo "push $n to bottle/demo.git: no secret found, passed on"
done
