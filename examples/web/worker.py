"""Answers each request with how many there were. The count is in Redis, so it outlives this process."""

import http.server
import os
import signal
import socket
import sys


def redis(*words):
    """Send one command to Redis and return its answer, of which a number is all that is needed here."""
    host, port = os.environ["REDIS"].split(":")
    command = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
    with socket.create_connection((host, int(port)), timeout=2) as s:
        s.sendall(command.encode())
        return s.makefile("rb").readline().decode().strip().lstrip(":")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"request {redis('INCR', 'requests')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def notify(state):
    """Tell the supervisor, as sd_notify(3) does."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        address = "\0" + path[1:] if path[0] == "@" else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(state.encode(), address)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
notify("READY=1\nSTATUS=listening")
server.serve_forever()
