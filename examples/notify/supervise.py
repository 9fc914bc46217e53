"""Gets the events of the bundle, which are CloudEvents, at a unix socket, and tells the operator about each crash."""

import http.server
import json
import os
import signal
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        kind, data = event["type"].rpartition(".")[2], event["data"]
        if kind == "exited" and data["cause"] == "unexpected":
            how = data["signal"] or f"code {data['code']}"
            if data["oom"]:
                how = "out of memory"
            print(f"operator: {event['subject']} has crashed ({how}) after {data['uptime']:.1f} s", flush=True)
            for line in data.get("log", [])[-3:]:
                print(f"operator:   it said: {line}", flush=True)
        elif kind == "restarting":
            print(f"operator:   it comes back in {data['next_delay']:.1f} s, attempt {data['attempt']}", flush=True)
        elif kind == "gave-up":
            print(f"operator: {event['subject']} was given up; sidecar-init start {event['subject']} tries again", flush=True)

    def address_string(self):
        return "sidecar-init"  # a unix socket has no address to look up

    def log_message(self, *args):
        pass


path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)  # of a life before this one
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with socketserver.UnixStreamServer(path, Handler) as server:
    print(f"listening at {path}", flush=True)
    try:
        server.serve_forever()
    finally:
        os.unlink(path)
