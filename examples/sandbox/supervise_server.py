"""Gets the events of the bundle, which are CloudEvents, and tells the operator what needs attention."""

import http.server
import json
import os
import signal
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        kind, data = event["type"].rpartition(".")[2], event.get("data", {})
        if kind == "exited" and data.get("cause") != "requested":
            how = data["signal"] or f"code {data['code']}"
            print(f"operator: {event['subject']} ended unexpectedly ({how})", flush=True)
        elif kind in ("unhealthy", "gave-up"):
            print(f"operator: {event['subject']} is {kind}", flush=True)
        elif kind == "restarting":
            print(f"operator: {event['subject']} comes back, attempt {data.get('attempt')}", flush=True)

    def log_message(self, *args):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
