"""A mitmproxy addon: puts a credential into the requests to the hosts in routes.json, and reads that again at SIGHUP."""

import asyncio
import json
import os
import signal


class Egress:
    def __init__(self):
        self.routes = {}

    def load_routes(self):
        with open("routes.json", encoding="utf-8") as f:
            self.routes = json.load(f)
        print(f"routes loaded: {', '.join(sorted(self.routes))}", flush=True)

    def running(self):
        # The handler first: from the moment that the line above is seen, SIGHUP is safe.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.load_routes)
        self.load_routes()

    def request(self, flow):
        variable = self.routes.get(f"{flow.request.host}:{flow.request.port}")
        if variable:
            flow.request.headers["Authorization"] = "Bearer " + os.environ.get(variable, "")
        print(f"{flow.request.method} {flow.request.pretty_url} {'with credential' if variable else 'as it is'}", flush=True)


addons = [Egress()]
