"""What the gateway in an empty root needs to talk to: `peers.py FOLDER` runs, until its standard input ends,

- a name server on 127.0.0.1:53 that knows api.example.test and nothing else, and writes what it was asked for to
  FOLDER/asked;
- an HTTPS upstream on port 8443 with FOLDER/server.pem, which answers with the request that it got, as JSON.

Says `ready` once both listen.
"""

import json
import pathlib
import socket
import ssl
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = pathlib.Path(sys.argv[1])
KNOWN = {"api.example.test": "127.0.0.7"}
A, IN = 1, 1


def serve_names(server):
    with open(FOLDER / "asked", "w", buffering=1) as asked:
        while True:
            query, peer = server.recvfrom(512)
            name, kind, question = parse_question(query)
            asked.write(f"{name}\n")
            server.sendto(answer(query[:2], question, KNOWN.get(name), kind), peer)


def parse_question(query):
    """RFC 1035 §4.1.2; one question, as every resolver sends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
    return ".".join(labels).lower(), kind, query[12 : at + 5]


def answer(identity, question, address, kind):
    record = b""
    if address and kind == A:
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, IN, 60, 4) + socket.inet_aton(address)
    flags = 0x8180 if address else 0x8183
    return identity + struct.pack(">HHHHH", flags, 1, 1 if record else 0, 0, 0) + question + record


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    upstream = ThreadingHTTPServer(("0.0.0.0", 8443), Upstream)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem")
    upstream.socket = context.wrap_socket(upstream.socket, server_side=True)
    for serve in (lambda: serve_names(names), upstream.serve_forever):
        threading.Thread(target=serve, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


main()
