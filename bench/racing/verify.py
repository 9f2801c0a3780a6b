"""Proves that a gateway does the job before it may race: who is let in, who is not, and what the upstream gets to see."""

import http.client
import ssl

from . import workload as work


class Dishonest(Exception):
    """A gateway answered or forwarded something that the job does not allow."""


def _ask(port, tls, method, path, headers):
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


def _bearer(secret):
    return ("Authorization", f"Bearer {secret}")


def refusals(workload):
    """(what it is, method, path, headers, statuses that are right) of everything that must not pass."""
    reader, writer, admin = (workload.first_key(scope, restricted=True) for scope in work.SCOPES)
    own = {key.id: work.ROUTE.format(project=key.projects[0]) for key in (reader, writer, admin)}
    foreign = work.ROUTE.format(project=next(project for project in workload.projects if project not in reader.projects))
    altered = admin.secret[:-1] + ("a" if admin.secret[-1] != "a" else "b")
    yield "no key", "GET", own[reader.id], [], {401}
    yield "unknown key", "GET", own[admin.id], [_bearer("kg_live_" + "0" * 40)], {401}
    yield "altered key", "GET", own[admin.id], [_bearer(altered)], {401}
    yield "cut key", "GET", own[admin.id], [_bearer(admin.secret[:-1])], {401}
    yield "read key writes", "PATCH", own[reader.id], [_bearer(reader.secret)], {403}
    yield "read key deletes", "DELETE", own[reader.id], [_bearer(reader.secret)], {403}
    yield "write key deletes", "DELETE", own[writer.id], [_bearer(writer.secret)], {403}
    yield "foreign project", "GET", foreign, [_bearer(reader.secret)], {403, 404}
    yield "prefix of own project", "GET", own[reader.id][:-1], [_bearer(reader.secret)], {403, 404}
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


def gateway(name, port, tls, workload, recorder):
    """Raises Dishonest with the first thing that is wrong; returns the number of cases that were right."""
    cases = 0
    for what, method, path, headers, right in refusals(workload):
        seen = len(recorder.heads)
        status = _ask(port, tls, method, path, headers)
        if status not in right or len(recorder.heads) != seen:
            raise Dishonest(f"{name}: {what}: {method} {path} gave {status}, not {right}; {len(recorder.heads) - seen} requests reached the upstream")
        cases += 1
    for key, method, project in admissions(workload):
        _admission(name, port, tls, recorder, key, method, project)
        cases += 1
    return cases


def _admission(name, port, tls, recorder, key, method, project):
    path = work.ROUTE.format(project=project)
    spoofed = [(header, "spoofed") for header in work.IDENTITY_HEADERS] + [("x-auth-user", "spoofed-again")]
    seen = len(recorder.heads)
    status = _ask(port, tls, method, path + "?page=2", [_bearer(key.secret), *spoofed])
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
