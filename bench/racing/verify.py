"""Proves that a gateway does the job before it may race: who is let in, who is not, and what the upstream gets to see."""

import http.client
import re
import socket
import ssl
import struct
import subprocess

from . import workload as work
from .load import UPGRADE_FIELDS


class Dishonest(Exception):
    """A gateway answered or forwarded something that the job does not allow."""


def over_http(port, tls=False):
    """Asks in HTTP/1.1; (method, path, headers) → status. So do the others."""
    def ask(method, path, headers):
        context = ssl._create_unverified_context() if tls else None
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context) if tls else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    return ask


def over_websocket(port):
    """Every GET asks for an upgrade, and is right if an echo comes through it."""
    plain = over_http(port)

    def ask(method, path, headers):
        if method != "GET":
            return plain(method, path, headers)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: race\r\n{lines}{UPGRADE_FIELDS}\r\n".encode())
            with connection.makefile("rb") as answer:
                status = int(answer.readline().split()[1])
                while answer.readline().strip():
                    pass
                if status != 101:
                    return status
                message = b"\x82\x84\x01\x02\x03\x04race"
                connection.sendall(message)
                return 200 if answer.read(len(message)) == message else 101

    return ask


# What a refused call may be told instead of the status of HTTP.
GRPC_STATUSES = {"5": 404, "7": 403, "12": 404, "16": 401}
MESSAGE = b"\0" + struct.pack("!I", 64) + b"m" * 64


def over_grpc(port, nghttp, folder):
    """Asks in HTTP/2, and each POST as a call: 200 is a message of the right length with `grpc-status: 0` in the trailers."""
    (folder / "message.bin").write_bytes(MESSAGE)

    def ask(method, path, headers):
        argv = [nghttp, "--verbose", "--null-out", "--timeout=10s", f"--header=:method: {method}"]
        argv += [f"--header={name.lower()}: {value}" for name, value in headers]
        if method == "POST":
            argv += ["--data=message.bin", "--header=content-type: application/grpc", "--header=te: trailers"]
        told = subprocess.run([*argv, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, timeout=20, cwd=folder).stdout
        fields = dict(re.findall(r"recv \(stream_id=\d+\) ([^\s:]+|:status): (.*)", told))
        status = int(fields.get(":status", "0"))
        if method != "POST" or status != 200:
            return status
        code = fields.get("grpc-status")
        data = sum(int(length) for length in re.findall(r"recv DATA frame <length=(\d+)", told))
        if code == "0":
            return 200 if data == len(MESSAGE) else 0
        return GRPC_STATUSES.get(code, 0)

    return ask


def _bearer(secret):
    return ("Authorization", f"Bearer {secret}")


def refusals(workload):
    """(what it is, method, path, headers, statuses that are right) of everything that must not pass."""
    reader, writer, admin = (workload.first_key(scope, restricted=True) for scope in work.SCOPES)
    own = {key.id: work.ROUTE.format(project=key.projects[0]) for key in (reader, writer, admin)}
    foreign, foreign_to_writer = (
        work.ROUTE.format(project=next(project for project in workload.projects if project not in key.projects)) for key in (reader, writer)
    )
    altered = admin.secret[:-1] + ("a" if admin.secret[-1] != "a" else "b")
    yield "no key", "GET", own[reader.id], [], {401}
    yield "unknown key", "GET", own[admin.id], [_bearer("kg_live_" + "0" * 40)], {401}
    yield "altered key", "GET", own[admin.id], [_bearer(altered)], {401}
    yield "cut key", "GET", own[admin.id], [_bearer(admin.secret[:-1])], {401}
    yield "read key writes", "PATCH", own[reader.id], [_bearer(reader.secret)], {403}
    yield "read key posts", "POST", own[reader.id], [_bearer(reader.secret)], {403}
    yield "read key deletes", "DELETE", own[reader.id], [_bearer(reader.secret)], {403}
    yield "write key deletes", "DELETE", own[writer.id], [_bearer(writer.secret)], {403}
    yield "foreign project", "GET", foreign, [_bearer(reader.secret)], {403, 404}
    yield "prefix of own project", "GET", own[reader.id][:-1], [_bearer(reader.secret)], {403, 404}
    yield "posts to a foreign project", "POST", foreign_to_writer, [_bearer(writer.secret)], {403, 404}
    yield "posts without a key", "POST", own[writer.id], [], {401}
    yield "unmapped path", "GET", "/api/v1/other", [_bearer(admin.secret)], {404}
    yield "unmapped method", "PUT", own[admin.id], [_bearer(admin.secret)], {405}


def admissions(workload):
    """(key, method, project) of requests that must pass."""
    for scope in work.SCOPES:
        for restricted in (True, False):
            key = workload.first_key(scope, restricted)
            project = key.projects[-1] if restricted else workload.projects[-1]
            for method, needed in work.METHOD_SCOPE.items():
                if needed in key.closure:
                    yield key, method, project


def gateway(name, ask, workload, recorder):
    """Raises Dishonest with the first thing that is wrong; returns the number of cases that were right."""
    cases = 0
    for what, method, path, headers, right in refusals(workload):
        seen = len(recorder.heads)
        status = ask(method, path, headers)
        if status not in right or len(recorder.heads) != seen:
            raise Dishonest(f"{name}: {what}: {method} {path} gave {status}, not {right}; {len(recorder.heads) - seen} requests reached the upstream")
        cases += 1
    for key, method, project in admissions(workload):
        _admission(name, ask, recorder, key, method, project)
        cases += 1
    return cases


def _admission(name, ask, recorder, key, method, project):
    path = work.ROUTE.format(project=project)
    spoofed = [(header, "spoofed") for header in work.IDENTITY_HEADERS] + [("x-auth-user", "spoofed-again")]
    seen = len(recorder.heads)
    status = ask(method, path + "?page=2", [_bearer(key.secret), *spoofed])
    if status != 200 or len(recorder.heads) != seen + 1:
        raise Dishonest(f"{name}: {method} {path} with {key.id} ({key.scope}) gave {status}; {len(recorder.heads) - seen} requests reached the upstream")
    line, *fields = recorder.heads[-1].split("\r\n")
    if line != f"{method} {path}?page=2 HTTP/1.1":
        raise Dishonest(f"{name}: the upstream saw {line!r}")
    fields = [(field.partition(":")[0].lower(), field.partition(":")[2].strip()) for field in fields]
    if any(key.secret in value for _, value in fields):
        raise Dishonest(f"{name}: the credential reached the upstream")
    expected = {
        "x-auth-key-id": key.id, "x-auth-user": key.user, "x-auth-org": work.ORGANIZATION, "x-auth-project": project,
        "x-auth-scopes": set(key.closure), "x-auth-projects": set(key.projects_value.split(",")),
    }
    for header, value in expected.items():
        got = [field_value for field_name, field_value in fields if field_name == header]
        if len(got) != 1:
            raise Dishonest(f"{name}: the upstream saw {header} {len(got)} times: {got}")
        as_compared = set(got[0].replace(",", " ").split()) if isinstance(value, set) else got[0]
        if as_compared != value:
            raise Dishonest(f"{name}: the upstream saw {header}: {got[0]}, not {value}")
