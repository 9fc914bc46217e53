# Stands for a proxy that does not find its upstream.
echo "routes loaded"
sleep 1
echo "upstream: connection refused" >&2
exit 3
