"""The upstream: a recorder while gateways are verified, then nginx with a fixed answer while they race."""

import socket
import threading
from pathlib import Path

from .process import Service, free_port

# The nonce of RFC 6455 §1.3, and what a server answers to it.
NONCE = "dGhlIHNhbXBsZSBub25jZQ=="
SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

SMALL_BODY = '{"id":"p000","name":"Project","tests":[1,2,3,4,5,6,7,8,9],"state":"active","note":"a hundred and four"}\n'
LARGE_BYTES = 1_000_000
assert len(SMALL_BODY) == 104


class Recorder:
    """An upstream that answers everything with 200 and keeps the heads it received, byte for byte. Where it is asked for a
    WebSocket it agrees, and sends back whatever comes."""

    def __init__(self, port):
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        pending = b""
        try:
            while received := connection.recv(65536):
                pending += received
                while b"\r\n\r\n" in pending:
                    head, _, pending = pending.partition(b"\r\n\r\n")
                    self.heads.append(head.decode("latin-1"))
                    if b"\nupgrade: websocket" in head.lower():
                        connection.sendall(SWITCHING.encode())
                        return self._echo(connection, pending)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            return

    @staticmethod
    def _echo(connection, first):
        connection.sendall(first)
        while received := connection.recv(65536):
            connection.sendall(received)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()


class GrpcRecorder:
    """The same for HTTP/2 in clear: `grpc-upstream`, which answers every call with status 0 and writes the heads into a file."""

    def __init__(self, program, port, cores, folder):
        self.file = Path(folder) / "heads.txt"
        self.service = Service("recorder", [program, str(port), str(self.file)], cores, folder)
        self.service.wait_until_listening(port)

    @property
    def heads(self):
        return self.file.read_bytes().decode("latin-1").split("\r\n\r\n")[:-1]

    def stop(self):
        self.service.stop()


# A PATCH is read whole before it is answered: an early answer would spare the gateway the body.
CONFIG = """
daemon off; worker_processes 1; user root; pid upstream.pid; error_log stderr error; worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; sendfile on; tcp_nodelay on; default_type application/json;
  client_max_body_size 16m; client_body_buffer_size 2m; client_body_temp_path tmp; proxy_temp_path tmp;
  upstream sink {{ server 127.0.0.1:{sink}; keepalive 64; }}
  server {{ listen 127.0.0.1:{sink}; return 200 '{body}'; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 '{body}'; }}
    {large}
  }}
}}
"""
LARGE = """
    location ~ ^/api/v1/projects/[^/]+$ {
      if ($request_method = PATCH) { rewrite ^ /swallow last; }
      root .; try_files /large.bin =404;
    }
    location = /swallow { internal; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_body ""; proxy_pass http://sink; }
"""


def start(nginx, port, cores, folder, files, large=False):
    """nginx that answers every request with 104 bytes; with `large`, GET is answered with and PATCH may carry a megabyte."""
    folder = Path(folder)
    (folder / "tmp").mkdir(exist_ok=True)
    if large:
        (folder / "large.bin").write_bytes(bytes(LARGE_BYTES))
    config = CONFIG.format(
        files=files, connections=files // 2, sink=free_port(), port=port, large=LARGE if large else "", body=SMALL_BODY.replace("\n", "\\n").replace("'", "")
    )
    (folder / "upstream.conf").write_text(config)
    service = Service("upstream", [nginx, "-p", str(folder), "-c", "upstream.conf"], cores, folder)
    service.wait_until_listening(port)
    return service


def start_own(argv, port, cores, folder):
    """One of the repository's own upstreams, `grpc-upstream` or `websocket serve`."""
    service = Service("upstream", argv, cores, folder)
    service.wait_until_listening(port)
    return service
