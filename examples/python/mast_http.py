# SPDX-License-Identifier: Apache-2.0
"""Talks to `mast serve` over HTTP with nothing but Python's standard library.

MAST_URL is where it is (http://127.0.0.1:8888), MAST_KEY an API key with the scope admin where one is needed.
"""
import json
import os
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request


class Refused(Exception):
    """What the server answers instead: its words, the field they are about, and the stable code."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail") or problem.get("title") or str(status))
        self.status, self.code, self.problem = status, problem.get("code"), problem


class Mast:
    def __init__(self, url=None, key=None):
        self.url = (url or os.environ.get("MAST_URL", "http://127.0.0.1:8888")).rstrip("/")
        self.key = key or os.environ.get("MAST_KEY")

    def ask(self, method, path, body=None, **query):
        address = f"{self.url}/api/v1/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"accept": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers["content-type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as reply:
                text = reply.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as e:
            try:
                problem = json.loads(e.read())
            except ValueError:
                problem = {}
            raise Refused(e.code, problem) from None

    def start(self, **request):
        """Answers when it runs, waits for its source, or has failed: see `state`."""
        return self.ask("POST", "broadcasts", request, wait="60s")

    def stop(self, broadcast_id):
        """Answers when it has ended."""
        return self.ask("DELETE", f"broadcasts/{broadcast_id}", wait="60s")

    def health(self, broadcast_id):
        return self.ask("GET", f"broadcasts/{broadcast_id}/health")


def run_until_asked(mast, **request):
    """Starts it, says so, waits for Ctrl-C or SIGTERM, stops it. The exit code of a program."""
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        result = mast.start(**request)
    except Refused as e:
        print(f"{e.status} {e.code}: {e}", file=sys.stderr)
        return 1
    print(f"{result['broadcast_id']}: {result['state']} {result.get('reason') or ''}", flush=True)
    if result["state"] == "failed":
        return 1
    print(json.dumps(mast.health(result["broadcast_id"])), flush=True)
    signal.sigwait(signals)
    ended = mast.stop(result["broadcast_id"])
    print(f"{ended['broadcast_id']}: {ended['state']}", flush=True)
    return 0 if ended["state"] == "stopped" else 1
