"""Notes each request in PostgreSQL, by psql, and counts them in Redis too."""

import http.server
import os
import signal
import socket
import subprocess
import sys


def redis(*words):
    """Send one command to Redis and return its answer, of which a number is all that is needed here."""
    host, port = os.environ["CACHE"].split(":")
    command = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
    with socket.create_connection((host, int(port)), timeout=2) as s:
        s.sendall(command.encode())
        return s.makefile("rb").readline().decode().strip().lstrip(":")


def sql(statement):
    """Run one statement and return what it prints."""
    psql = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", os.environ["DATABASE"], "-c", statement]
    return subprocess.run(psql, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        visit = sql("insert into visits default values returning id")
        body = f"visit {visit}, {redis('INCR', 'visits')} since the cache was started\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sql("create table if not exists visits (id serial primary key, at timestamptz default now())")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
print("listening")
server.serve_forever()
