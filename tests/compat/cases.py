"""The requests that every client sends to every server, directly and through Keygate."""

from dataclasses import dataclass, field

ALL = frozenset({"curl", "requests", "httpx", "java", "browser"})
# What may send any header, any method, and shows redirects as they come; pages may not.
NO_BROWSER = ALL - {"browser"}


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    path: str
    headers: tuple = ()
    body: bytes = b""
    chunked: bool = False
    http10: bool = False
    clients: frozenset = field(default=ALL)


JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
BINARY = ("Content-Type", "application/octet-stream")
FIVE_MB = bytes(range(256)) * 20_000


def case(name, method, path, *headers, body=b"", clients=ALL, **more):
    return Case(name, method, path, headers, body, clients=clients, **more)


METHODS = [
    case("get", "GET", "/echo/plain"),
    case("get-root-of-api", "GET", "/echo"),
    case("head", "HEAD", "/status/200"),
    case("head-automatic", "HEAD", "/automatic"),
    case("head-with-length", "HEAD", "/bytes/12345"),
    case("options", "OPTIONS", "/echo/plain"),
    case("options-automatic", "OPTIONS", "/automatic"),
    case("method-not-allowed-upstream", "DELETE", "/automatic"),
    case("post-empty", "POST", "/echo/empty"),
    case("put-empty", "PUT", "/echo/empty"),
    case("delete", "DELETE", "/echo/one"),
    case("delete-with-body", "DELETE", "/echo/one", JSON, body=b'{"why": "old"}'),
    case("patch", "PATCH", "/echo/one", JSON, body=b'{"a": 1}'),
    case("get-with-body", "GET", "/echo/search", JSON, body=b'{"query": 1}', clients=NO_BROWSER),
    case("options-with-body", "OPTIONS", "/echo/one", JSON, body=b"{}"),
    case("http-1.0", "GET", "/echo/old", clients={"curl"}, http10=True),
    case("http-1.0-stream", "GET", "/stream", clients={"curl"}, http10=True),
    case("http-1.0-post", "POST", "/echo/old", FORM, body=b"a=1", clients={"curl"}, http10=True),
]

# A URL as clients see it in real systems. Some clients spell it anew before they send it; both times the same.
PATHS = [
    case(f"path {path}", "GET", path)
    for path in [
        "/echo/",
        "/echo/a/",
        "/echo/a/b/c/d/e/f/g/h/i/j/k/l/m/n",
        "/echo/with%20space",
        "/echo/a+b",
        "/echo/%7Ehome/~home",
        "/echo/gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC",
        "/echo/UPPER/lower/MiXed",
        "/echo/page;jsessionid=0A1B2C",
        "/echo/matrix;a=1;b=2/next;c=3",
        "/echo/user@example.com",
        "/echo/a:b",
        "/echo/a,b/(c)/'d'/$e/!f/*g",
        "/echo/x=1&y=2",
        "/echo/file.tar.gz",
        "/echo/.hidden",
        "/echo/a..b/c...d",
        "/echo/100%25",
        "/echo/question%3Fmark",
        "/echo/hash%23mark",
        "/echo/%E2%82%AC",
        "/echo/a%3Bb",
        "/echo/semi;",
        "/echo/" + "long" * 400,
        "/echo/encoded%2Fslash",
        "/echo/encoded%5Cbackslash",
        "/echo//double",
        "/echo/not-utf8-%E9",
    ]
]

QUERIES = [
    case(f"query {query}", "GET", "/echo/q?" + query)
    for query in [
        "a=1&b=2",
        "a=1&a=2&a=3",
        "empty=&flag",
        "",
        "q=with+plus%20and%20space",
        "path=a%2Fb/c&back=http://example.com/x?y=z",
        "filter[name]=x&page[size]=10",
        "utf8=%E2%9C%93&latin=%E9",
        "access_token=legacy-api-owns-this",
        "semi=1;colon=2:3",
        "long=" + "x" * 3000,
        "percent=100%25",
        "?double=1",
    ]
]

HEADERS = [
    case("many-headers", "GET", "/echo/h", *[(f"X-Test-{number}", str(number)) for number in range(40)]),
    case("long-header", "GET", "/echo/h", ("X-Long", "v" * 4000)),
    case("empty-header", "GET", "/echo/h", ("X-Empty", ""), clients={"requests", "httpx", "browser"}),
    case("accept", "GET", "/echo/h", ("Accept", "application/json;q=0.9, */*;q=0.1"), ("Accept-Language", "de, en;q=0.5")),
    case("cookies", "GET", "/cookies/seen", ("Cookie", "a=1; b=two; c=x%20y"), clients=NO_BROWSER),
    case("set-cookies", "GET", "/cookies/set"),
    case("user-agent", "GET", "/echo/h", ("User-Agent", "SomethingElse/1.0 (a; b)"), clients=NO_BROWSER),
    case("referer", "GET", "/echo/h", ("Referer", "http://example.com/a?b"), clients=NO_BROWSER),
    case("idempotency-key", "POST", "/echo/h", ("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324"), JSON, body=b"{}"),
    case("answer-with-long-headers", "GET", "/long-headers"),
    case("latin-1-header", "GET", "/echo/h", ("X-Name", "caf\xe9"), clients={"curl"}),
    case("x-api-version", "GET", "/echo/h", ("X-Api-Version", "2"), ("X-Tenant", "t-1")),
    case("traceparent", "GET", "/echo/h", ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
]

BODIES = [
    case("json", "POST", "/echo/b", JSON, body='{"name": "Ä", "n": [1, 2.5, null]}'.encode()),
    case("form", "POST", "/echo/b", FORM, body=b"a=1&b=two+words&c=%C3%A4"),
    case("binary", "POST", "/echo/b", BINARY, body=bytes(range(256))),
    case("one-byte", "POST", "/echo/b", BINARY, body=b"\0"),
    case("looks-like-http", "POST", "/echo/b", BINARY, body=b"GET /x HTTP/1.1\r\nHost: y\r\n\r\n0\r\n\r\n"),
    case("five-megabytes-up", "POST", "/echo/b", BINARY, body=FIVE_MB),
    case("five-megabytes-down", "GET", "/bytes/5000000"),
    case("chunked-up", "POST", "/echo/b", BINARY, body=b"chunk" * 1000, chunked=True, clients=NO_BROWSER),
    case("chunked-up-large", "PUT", "/echo/b", BINARY, body=FIVE_MB, chunked=True, clients=NO_BROWSER),
    case("expect-continue", "POST", "/echo/b", ("Expect", "100-continue"), BINARY, body=b"x" * 2000, clients={"curl", "java"}),
    case("gzip-up", "POST", "/echo/b", ("Content-Encoding", "gzip"), BINARY, body=bytes.fromhex("1f8b08000000000002034b4c02003515f7a603000000")),
    case("gzip-down", "GET", "/gzip", ("Accept-Encoding", "gzip"), clients=NO_BROWSER),
    case("gzip-declined", "GET", "/gzip", ("Accept-Encoding", "identity"), clients=NO_BROWSER),
    case("gzip-as-the-client-likes", "GET", "/gzip"),
    case("stream", "GET", "/stream"),
    case("nothing", "GET", "/bytes/0"),
    case("slow", "GET", "/slow"),
]

STATUSES = [
    case(f"{method.lower()}-status-{status}", method, f"/status/{status}")
    for status in [200, 201, 202, 204, 400, 401, 402, 403, 404, 405, 409, 410, 418, 422, 429, 500, 501, 502, 503]
    for method in ["GET", "POST"]
] + [
    case("get-status-304", "GET", "/status/304", clients=NO_BROWSER),
    case("crash", "GET", "/crash"),
    case("after-crash", "GET", "/echo/after"),
    case("no-such-page", "GET", "/no/such/page"),
]

REDIRECTS = [case(f"redirect-{status}", "GET", f"/redirect/{status}") for status in [301, 302, 303, 307, 308]] + [
    case("redirect-absolute", "GET", "/redirect/absolute"),
]

FILES = [
    case("file", "GET", "/page/alphabet.txt"),
    case("file-head", "HEAD", "/page/alphabet.txt"),
    case("file-range", "GET", "/page/alphabet.txt", ("Range", "bytes=100-199")),
    case("file-range-from", "GET", "/page/alphabet.txt", ("Range", "bytes=19000-")),
    case("file-range-last", "GET", "/page/alphabet.txt", ("Range", "bytes=-10")),
    case("file-range-wrong", "GET", "/page/alphabet.txt", ("Range", "bytes=999999-")),
    case("file-if-match-wrong", "GET", "/page/alphabet.txt", ("If-Match", '"no"')),
    case("file-of-old", "GET", "/page/alphabet.txt", ("If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"), clients=NO_BROWSER),
]

# In this order: each builds on the ones before.
RESOURCES = [
    case("items-reset", "DELETE", "/items"),
    case("items-none", "GET", "/items"),
    case("items-create", "POST", "/items", JSON, body=b'{"name": "first"}'),
    case("items-create-second", "POST", "/items", JSON, body='{"name": "zweites, größer"}'.encode()),
    case("items-list", "GET", "/items"),
    case("items-get", "GET", "/items/2"),
    case("items-replace", "PUT", "/items/1", JSON, body=b'{"name": "replaced"}'),
    case("items-change", "PATCH", "/items/1", JSON, body=b'{"color": "red"}'),
    case("items-changed", "GET", "/items/1"),
    case("items-delete", "DELETE", "/items/1"),
    case("items-gone", "GET", "/items/1"),
    case("items-delete-gone", "DELETE", "/items/1"),
]

CASES = [*METHODS, *PATHS, *QUERIES, *HEADERS, *BODIES, *STATUSES, *REDIRECTS, *FILES, *RESOURCES]
assert len({one.name for one in CASES}) == len(CASES), "each case has a name of its own"
TOMCAT_ONLY = [case("jsp", "GET", "/greeting.jsp"), case("jsp-name", "GET", "/greeting.jsp;jsessionid=1F?name=J%C3%B6rg")]


def cases_for(server, client):
    cases = CASES + (TOMCAT_ONLY if server == "tomcat" else [])
    return [one for one in cases if client in one.clients]
