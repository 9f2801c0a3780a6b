"""Load generators. Each returns a Sample: what was asked, how it went, how long it took."""

import json
import re
import socket
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import process
from .upstream import NONCE

GRACE = 30  # seconds that a load generator may take beyond its measured time


@dataclass
class Sample:
    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: dict = field(default_factory=dict)  # kind → count, only kinds that happened
    cpu: process.Cpu = process.Cpu(0, 0)  # of the load generator itself
    extra: dict = field(default_factory=dict)

    @property
    def per_second(self):
        return self.requests / self.seconds


WRK_SCRIPT = r"""
local requests, next_request = {}, 0
function init(args)
  local body = tonumber(args[2]) > 0 and string.rep("x", tonumber(args[2])) or nil
  for line in io.lines(args[1]) do
    local method, path, secret = line:match("^(%S+) (%S+) (%S+)$")
    local headers = {Authorization = "Bearer " .. secret, Accept = "application/json", ["User-Agent"] = "race/1"}
    if args[3] == "close" then headers.Connection = "close" end
    table.insert(requests, wrk.format(method, path, headers, method == "PATCH" and body or nil))
  end
end
function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\nRACE {"requests": %d, "us": %d, "p50": %d, "p99": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


def write_requests(path, requests):
    Path(path).write_text("".join(f"{request.method} {request.path} {request.secret}\n" for request in requests))


def wrk(program, url, requests, connections, seconds, cores, folder, body_bytes=0, close=False):
    """Closed loop: as many requests as `connections` connections get answered."""
    folder = Path(folder)
    (folder / "load.lua").write_text(WRK_SCRIPT)
    write_requests(folder / "requests.txt", requests)
    argv = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", "load.lua", url]
    argv += ["--", "requests.txt", str(body_bytes), "close" if close else "keep"]
    output, cpu = process.run(argv, cores, seconds + GRACE, folder)
    told = json.loads(re.search(r"^RACE (.*)$", output, re.MULTILINE).group(1))
    errors = {kind: told[kind] for kind in ("connect", "read", "write", "status", "timeout") if told[kind]}
    if close:
        errors.pop("read", None)  # wrk counts the close that it asked for
    return Sample(told["requests"], told["us"] / 1e6, told["p50"], told["p99"], errors, cpu)


def h2load(program, url, requests, connections, streams, seconds, cores, folder, message=None):
    """HTTP/2, closed loop, `streams` at a time on each connection. h2load sends the same headers with every request: one key. With
    `message`, each request is a call of gRPC that carries it and must be answered with as many bytes: a refused call has none."""
    folder = Path(folder)
    (folder / "uris.txt").write_text("".join(f"{url}{request.path}\n" for request in requests))
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    argv = [program, "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "-i", "uris.txt", f"--log-file={log}"]
    argv += ["-H", f"authorization: Bearer {requests[0].secret}", "-H", "accept: application/json"]
    if message:
        (folder / "message.bin").write_bytes(message)
        argv += ["-d", "message.bin", "-H", "content-type: application/grpc", "-H", "te: trailers"]
    output, cpu = process.run(argv, cores, seconds + GRACE, folder)
    durations, failed = [], 0
    with log.open() as lines:
        for line in lines:
            _, status, microseconds, *_ = line.split("\t")
            failed += status != "200"
            durations.append(int(microseconds))
    lost = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    errors = {"status": failed, "failed": int(lost.group(1)), "timeout": int(lost.group(3))}
    if message:
        answered = int(re.search(r"\((\d+)\) data$", output, re.MULTILINE).group(1)) // len(message)
        # What was under way at the end is in one of the two counts only.
        errors["unanswered"] = max(0, len(durations) - answered - connections * streams)
    p50, p99 = percentiles(durations)
    return Sample(len(durations), seconds, p50, p99, {kind: count for kind, count in errors.items() if count}, cpu)


def percentiles(durations):
    if len(durations) < 2:
        raise RuntimeError("too few requests were answered to speak of percentiles")
    cuts = statistics.quantiles(durations, n=100)
    return cuts[49], cuts[98]


def open_loop(program, port, requests, connections, rate, seconds, cores, folder):
    """Constant rate: each request is due at a fixed time, and its latency counts from then, however late the last answer was."""
    folder = Path(folder)
    write_requests(folder / "requests.txt", requests)
    argv = [program, f"127.0.0.1:{port}", str(folder / "requests.txt"), str(connections), str(rate), str(seconds)]
    output, cpu = process.run(argv, cores, seconds + GRACE)
    told = json.loads(output)
    extra = {kind: told[kind] for kind in ("p90_us", "p999_us", "max_us", "reconnected")}
    return Sample(told["requests"], told["seconds"], told["p50_us"], told["p99_us"], {"lost": told["lost"]} if told["lost"] else {}, cpu, extra)


def websocket(program, port, requests, connections, seconds, cores, folder):
    """Echoes on upgraded connections, closed loop: the latency is that of a message and its echo."""
    folder = Path(folder)
    write_requests(folder / "requests.txt", requests)
    argv = [program, "load", f"127.0.0.1:{port}", str(folder / "requests.txt"), str(connections), str(seconds)]
    output, cpu = process.run(argv, cores, seconds + GRACE)
    told = json.loads(output)
    return Sample(told["requests"], told["seconds"], told["p50_us"], told["p99_us"], {"lost": told["lost"]} if told["lost"] else {}, cpu)


KEPT = "HTTP/1.1 200 "
UPGRADED = "HTTP/1.1 101 "
UPGRADE_FIELDS = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n"


class IdleConnections:
    """Many connections, each of which was answered once, or upgraded, and then says nothing."""

    def __init__(self, port, requests, count, upgraded=False):
        right = UPGRADED if upgraded else KEPT
        self.sockets = []
        latencies = []
        for number in range(count):
            request = requests[number % len(requests)]
            start = time.perf_counter()
            # Many source addresses, as many clients have: Keygate limits the connections of one.
            connection = socket.create_connection(("127.0.0.1", port), 10, source_address=(f"127.0.0.{2 + number // 500}", 0))
            self.sockets.append(connection)
            head = f"GET {request.path} HTTP/1.1\r\nHost: race\r\nAuthorization: Bearer {request.secret}\r\n"
            connection.sendall(f"{head}{UPGRADE_FIELDS if upgraded else ''}\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                try:
                    received = connection.recv(65536)
                except OSError as error:
                    raise RuntimeError(f"connection {number} broke before its answer: {error}") from error
                if not received:
                    raise RuntimeError(f"connection {number} was closed before its answer")
                answer += received
            if not answer.startswith(right.encode()):
                raise RuntimeError(f"connection {number} was answered {answer[:40]!r}")
            latencies.append((time.perf_counter() - start) * 1e6)
        self.p50_us, self.p99_us = percentiles(latencies)

    def closed(self):
        """How many the gateway has closed meanwhile."""
        gone = 0
        for connection in self.sockets:
            connection.setblocking(False)
            try:
                gone += connection.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                pass
            except OSError:
                gone += 1
        return gone

    def close(self):
        for connection in self.sockets:
            connection.close()
