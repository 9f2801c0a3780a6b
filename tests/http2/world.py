"""The gateway with an upstream and clients on both sides of it, in HTTP/2 frame by frame."""

import json
import re
import socket
import sys
import time
import urllib.request

from origin import Gone, Origin
from peer import Peer

KEY = "a-key-for-the-tests-of-http2-0123456789"
HOST = "api.example"


class World:
    """The gateway with what stands on both sides."""

    def __init__(self, origin, place):
        self.origin, self.address, self.health = origin, place["data"], place["health"]
        self.folder, self.keygate = place["folder"], place["keygate"]

    def peer(self, **how):
        return Peer(self.address, **how)

    def get(self, path, *more, peer=None, method="GET"):
        """The answer to one request in HTTP/2."""
        peer = peer or self.peer()
        return peer.answer(peer.headers(head(path, *more, method=method)))

    def http1(self, path, *more, method="GET", body=b""):
        """A connection of HTTP/1.1 that has sent one request."""
        host, port = self.address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=20)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {KEY}", *more, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        return connection

    def http1_answer(self, path, *more, **how):
        """All that comes of it, which the client asks to be the last."""
        with self.http1(path, "Connection: close", *more, **how) as connection:
            return read_all(connection)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.health}/metrics", timeout=20) as page:
            text = page.read().decode()
        found = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert len(found) == 1, (name, [line for line in text.splitlines() if name.split("{")[0] in line])
        return float(found[0])

    def until_metric(self, name, value):
        until(lambda: self.metric(name) == value, f"{name} {value}")

    def serves(self):
        """Whether a request that is right is answered."""
        answer = self.get("/any/fine")
        assert (answer.status, bytes(answer.body)) == (200, b"ok"), answer


def until(holds, what):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def read_all(connection):
    data = b""
    try:
        while received := connection.recv(65536):
            data += received
    except ConnectionResetError:
        return data + b"<reset>"
    return data


def head(path, *more, method="GET", key=KEY, authority=HOST):
    pseudo = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
    return [*pseudo, ("authorization", f"Bearer {key}"), *more]


def code(answer):
    return json.loads(bytes(answer.body))["code"]


def main(scenario, acts=(), settings=None, tls=(), protocols=("h2",), is_mute=False):
    """Runs a scenario: prints the port of its upstream, reads where the gateway is, and goes."""
    origin = Origin(dict(acts), settings, tls, protocols)
    origin.is_mute = is_mute
    print(origin.port, flush=True)
    scenario(World(origin, json.loads(sys.stdin.readline())))
    failures = [failure for failure in origin.failures if not isinstance(failure, Gone)]
    assert not failures, failures
