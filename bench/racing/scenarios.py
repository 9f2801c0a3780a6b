"""What is raced: a scenario is a kind of traffic, who can take part, and how one round of it is driven."""

import time
from dataclasses import dataclass, replace
from typing import Callable

from . import doors, load
from .upstream import LARGE_BYTES
from .verify import MESSAGE
from .workload import ROUTE, Request, Workload


@dataclass(frozen=True)
class Driver:
    """What a round needs to know of the race around it."""

    programs: dict  # wrk, h2load, open-loop → path
    cores: set
    folder: str
    connections: int
    rate: int
    seconds: int
    files: int
    workload: Workload


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    drive: Callable  # (driver, port, service) → Sample
    needs: tuple = ()  # load generators and upstreams, by program
    tls: bool = False
    http2: bool = False
    large: bool = False
    traffic: str = "http"  # or "grpc", "websocket": what the upstream speaks
    peers: tuple = ("keygate", "nginx", "haproxy", "envoy", "relay")
    subject: str = "keygate"  # whom ratios compare with the others
    unit: str = "request"  # what CPU is counted per
    at_rest: bool = False  # whether connections, not requests, are what is measured

    @property
    def wants(self):
        """What a gateway must be able to."""
        return {"tls" if self.tls else "http", self.traffic} - {"http"}


def _wrk(driver, port, tls=False, **how):
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    connections = how.pop("connections", driver.connections)
    requests = how.pop("requests", driver.workload.requests)
    return load.wrk(driver.programs["wrk"], url, requests, connections, driver.seconds, driver.cores, driver.folder, **how)


def _small(driver, port, _):
    return _wrk(driver, port)


def _tls_h1(driver, port, _):
    return _wrk(driver, port, tls=True)


def _h2(driver, port, _):
    """One key that may see all projects, asked for each in turn: h2load repeats its headers."""
    key = driver.workload.first_key("write", restricted=False)
    requests = [Request("GET", ROUTE.format(project=project), key.secret) for project in driver.workload.projects]
    url = f"https://127.0.0.1:{port}"
    return load.h2load(driver.programs["h2load"], url, requests, 16, 4, driver.seconds, driver.cores, driver.folder)


def _bodies(driver, port, _):
    """Half the requests read a megabyte, half write one, on 16 connections."""
    scopes = {key.secret: key.scope for key in driver.workload.keys}
    permitted = [request for request in driver.workload.requests if scopes[request.secret] != "read"]
    both = [replace(request, method=method) for request in permitted for method in ("GET", "PATCH")]
    return _wrk(driver, port, requests=both, connections=16, body_bytes=LARGE_BYTES)


def _connections(driver, port, _):
    return _wrk(driver, port, close=True)


def _handshakes(driver, port, _):
    return _wrk(driver, port, tls=True, close=True)


def _open_loop(driver, port, _):
    return load.open_loop(driver.programs["open-loop"], port, driver.workload.requests, driver.connections, driver.rate, driver.seconds, driver.cores, driver.folder)


def _grpc(driver, port, _):
    """Calls with small messages, 16 connections of 4; one key that may see all projects, as in `h2`."""
    key = driver.workload.first_key("write", restricted=False)
    requests = [Request("POST", ROUTE.format(project=project), key.secret) for project in driver.workload.projects]
    return load.h2load(driver.programs["h2load"], f"http://127.0.0.1:{port}", requests, 16, 4, driver.seconds, driver.cores, driver.folder, MESSAGE)


def _websocket(driver, port, _):
    return load.websocket(driver.programs["websocket"], port, driver.workload.requests, driver.connections, driver.seconds, driver.cores, driver.folder)


def _websocket_idle(driver, port, service):
    return _idle(driver, port, service, upgraded=True)


def _idle(driver, port, service, upgraded=False):
    """Opens the connections (fewer than 10,000 where the limit of open files says so), then watches what they cost at rest. An upgraded one has a
    second connection behind it, and Keygate keeps a tenth of its files free."""
    count = min(10_000, driver.files * 2 // 5 if upgraded else driver.files // 2 - 300)
    connections = load.IdleConnections(port, driver.workload.requests, count, upgraded)
    try:
        opened, before = service.cpu(), time.monotonic()
        time.sleep(driver.seconds)
        seconds = time.monotonic() - before
        idle = service.cpu() - opened
        memory = service.memory()
        extra = {"connections": count, "memory_bytes": memory, "bytes_per_connection": (memory - service.memory_at_start) / count}
        extra["idle_cpu_us_per_s"] = idle.total / seconds * 1e6
        closed = connections.closed()
    finally:
        connections.close()
    return load.Sample(count, seconds, connections.p50_us, connections.p99_us, {"closed": closed} if closed else {}, extra=extra)


HTTP_PEERS = ("keygate", "nginx", "haproxy", "envoy")
FORWARD_AUTH_PEERS = (*doors.FORWARD_AUTH, "nginx")
EXT_AUTHZ_PEERS = (*doors.EXT_AUTHZ, "envoy", "envoy-api-key-auth")
ALL = {
    scenario.name: scenario
    for scenario in (
        Scenario("small", "104-byte answers, HTTP/1.1 keep-alive", _small, ("wrk",)),
        Scenario("tls-h1", "104-byte answers, HTTP/1.1 over TLS, keep-alive", _tls_h1, ("wrk",), tls=True, peers=HTTP_PEERS),
        Scenario("h2", "104-byte answers, HTTP/2 over TLS, 16 connections of 4 streams", _h2, ("h2load",), tls=True, http2=True, peers=HTTP_PEERS),
        Scenario("bodies-1m", "1 MB bodies, half read and half written", _bodies, ("wrk",), large=True),
        Scenario("idle-10k", "10,000 idle connections", _idle, peers=HTTP_PEERS, unit="connection opened", at_rest=True),
        Scenario("connections", "a new connection for every request", _connections, ("wrk",)),
        Scenario("handshakes", "a new TLS connection for every request", _handshakes, ("wrk",), tls=True, peers=HTTP_PEERS),
        Scenario("open-loop", "constant rate, latency from the time each request was due", _open_loop, ("open-loop",)),
        Scenario(
            "forward-auth", "104-byte answers through nginx that asks a door about each request, and through nginx that decides itself",
            _small, ("wrk",), peers=FORWARD_AUTH_PEERS, subject="nginx+keygate",
        ),
        Scenario(
            "ext-authz", "104-byte answers through Envoy that asks a door about each request, and through Envoy that decides itself",
            _small, ("wrk",), peers=EXT_AUTHZ_PEERS, subject="envoy+keygate",
        ),
        Scenario(
            "grpc", "unary gRPC calls of 64 bytes each way, HTTP/2 in clear on both sides, 16 connections of 4 streams", _grpc,
            ("h2load", "nghttp", "grpc-upstream"), http2=True, traffic="grpc", unit="call",
        ),
        Scenario("websocket", "64-byte messages and their echoes over WebSockets", _websocket, ("websocket",), traffic="websocket", unit="echo"),
        Scenario(
            "websocket-idle", "10,000 idle WebSockets", _websocket_idle, ("websocket",), traffic="websocket", unit="connection opened", at_rest=True,
        ),
    )
}
