"""The job that every gateway is given: keys, people, projects, routes, and the requests that are sent."""

import hashlib
import random
import zlib
from dataclasses import dataclass

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ORGANIZATION = "default"
ROUTE = "/api/v1/projects/{project}"
METHOD_SCOPE = {"GET": "read", "POST": "write", "PATCH": "write", "DELETE": "admin"}
SCOPES = ["read", "write", "admin"]  # each contains those before it
ROLES = {"read": "viewer", "write": "member", "admin": "admin"}
IDENTITY_HEADERS = ["X-Auth-Key-Id", "X-Auth-User", "X-Auth-Org", "X-Auth-Scopes", "X-Auth-Projects", "X-Auth-Project"]


@dataclass(frozen=True)
class Key:
    id: str
    secret: str
    user: str
    scope: str
    projects: tuple  # of project ids; empty means all

    @property
    def digest(self):
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def closure(self):
        """The scopes this key holds, those implied included."""
        return SCOPES[: SCOPES.index(self.scope) + 1]

    @property
    def projects_value(self):
        """What X-Auth-Projects says: `*`, or the ids with commas between."""
        return ",".join(self.projects) or "*"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    secret: str


@dataclass(frozen=True)
class Workload:
    keys: list
    projects: list
    requests: list  # what the load generator rotates through; every one is permitted

    def first_key(self, scope, restricted):
        return next(key for key in self.keys if key.scope == scope and bool(key.projects) == restricted)


def secret(rng):
    """A secret in Keygate's own form, so that it costs what a real one costs."""
    body = "kg_live_" + "".join(rng.choices(BASE62, k=34))
    rest, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        check = BASE62[digit] + check
    return body + check


def make(key_count=10_000, project_count=200, request_count=1_000, seed=20):
    """A workload that is the same for the same arguments: a third of the keys each for read, write and admin; one key in ten
    may see all projects, the others two. One request in ten writes where its key may, the rest read."""
    rng = random.Random(seed)
    projects = [f"p{number:03}" for number in range(project_count)]
    keys = []
    for number in range(key_count):
        scope = SCOPES[number % 3]
        allowed = () if number % 10 == 9 else tuple(sorted(rng.sample(projects, 2)))
        keys.append(Key(f"key_{number:06}", secret(rng), f"user-{number % 300:03}", scope, allowed))
    requests = []
    for number, key in enumerate(rng.sample(keys, min(request_count, key_count))):
        method = "PATCH" if number % 10 == 0 and key.scope != "read" else "GET"
        project = rng.choice(key.projects or projects)
        requests.append(Request(method, ROUTE.format(project=project), key.secret))
    return Workload(keys, projects, requests)


def key_entry(key, revoked=False):
    """One key of a Keygate key file."""
    projects = "all" if not key.projects else f"[{', '.join(key.projects)}]"
    entry = (
        f"  - id: {key.id}\n"
        f"    name: Race {key.id}\n"
        f"    owner: {key.user}\n"
        f"    hash: sha256:{key.digest}\n"
        f"    prefix: {key.secret[:13]}\n"
        f"    scopes: [{key.scope}]\n"
        f"    projects: {projects}\n"
        f"    created_at: 2026-01-01T00:00:00Z\n"
        f"    expires_at: never\n"
    )
    if revoked:
        entry += "    revoked_at: 2026-01-02T00:00:00Z\n    revoked_by: race\n    revoked_reason: race\n"
    return entry


def key_file_head(workload):
    """The key file up to and with the line `keys:`; key entries follow it."""
    people = {key.user: ROLES[key.scope] for key in workload.keys}
    lines = ["version: 1", f"organizations: [{{id: {ORGANIZATION}, projects: [{', '.join(workload.projects)}]}}]", "people:"]
    lines += [f"  - {{id: {user}, email: {user}@example.com, role: {role}}}" for user, role in sorted(people.items())]
    return "\n".join(lines) + "\nkeys:\n"


def key_file(workload):
    return key_file_head(workload) + "".join(key_entry(key) for key in workload.keys)
