"""What takes more than one request: each flow gives a list of what was seen, which must be the same through Keygate."""

import concurrent.futures
import pathlib
import subprocess
import tempfile

import httpx
import requests
import websockets.sync.client

from clients import GUARD_SECONDS, credential


def conditional_download(base, key):
    """Validators of the first answer make the next ones short."""
    with session(key) as client:
        url = base + "/page/alphabet.txt"
        first = client.get(url)
        yield first.status_code, first.headers.get("ETag"), first.headers.get("Last-Modified"), len(first.content)
        for name, validator in [("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"), ("If-Range", "ETag")]:
            if validator in first.headers:
                headers = {name: first.headers[validator]} | ({"Range": "bytes=5-9"} if name == "If-Range" else {})
                again = client.get(url, headers=headers)
                yield name, again.status_code, again.content, again.headers.get("Content-Range")


def cookies_come_back(base, key):
    with session(key) as client:
        baked = client.get(base + "/cookies/set")
        yield baked.raw.headers.getlist("Set-Cookie")
        yield sorted(client.cookies.get_dict().items())
        yield client.get(base + "/cookies/seen").text


def redirects_are_followed(base, key):
    with session(key) as client:
        for where in ["301", "302", "303", "307", "308", "absolute"]:
            end = client.get(f"{base}/redirect/{where}")
            yield where, [hop.status_code for hop in end.history], end.status_code, end.url.removeprefix(base)
    with httpx.Client(trust_env=False, headers=credential(key), follow_redirects=True) as client:
        end = client.get(base + "/redirect/absolute")
        yield end.status_code, str(end.url).removeprefix(base)


def events_arrive_as_they_happen(base, key):
    """The next event is told only after the last was heard: a gateway that waits for more bytes never ends this."""
    with httpx.Client(trust_env=False, headers=credential(key), timeout=GUARD_SECONDS) as client:
        channel = f"{base}/events/{'through' if key else 'direct'}"
        with client.stream("GET", channel) as stream:
            yield stream.status_code, stream.headers["Content-Type"]
            lines = (line for line in stream.iter_lines() if line)
            yield next(lines)
            for message in ["one", "zwei ü", "three"]:
                yield client.post(channel, content=message.encode()).status_code
                yield next(lines)
            yield client.post(channel, content=b"end").status_code
            yield list(lines)


def web_socket_echoes(base, key):
    with web_socket(base, key) as socket:
        yield socket.response.status_code
        for message in ["hello", "grüße", b"\x00\xff", "x" * 200, b"y" * 5_000]:
            socket.send(message)
            yield socket.recv(timeout=GUARD_SECONDS) == message
        socket.ping().wait(GUARD_SECONDS)
        socket.send("bye")
        yield list(socket), socket.close_code, socket.close_reason


def web_socket_is_closed_by_its_client(base, key):
    with web_socket(base, key) as socket:
        socket.send("hello")
        yield socket.recv(timeout=GUARD_SECONDS)
        socket.close(1000, "done")
        yield socket.close_code


def web_socket(base, key):
    url, headers = base.replace("http://", "ws://") + "/ws", dict(credential(key))
    return websockets.sync.client.connect(url, additional_headers=headers, proxy=None, compression=None, max_size=None)


def uploads(base, key):
    content = bytes(range(256)) * 400
    files = [("one", ("räport.pdf", content, "application/pdf")), ("two", ("b.txt", b"text", "text/plain"))]
    with session(key) as client:
        got = client.post(base + "/upload", files=files, data={"title": "zwei Dateien"})
        yield got.status_code, got.json()
    with httpx.Client(trust_env=False, headers=credential(key), timeout=GUARD_SECONDS) as client:
        got = client.post(base + "/upload", files=files, data={"title": "zwei Dateien"})
        yield got.status_code, got.json()
    with tempfile.TemporaryDirectory(prefix="keygate-compat-") as folder:
        (pathlib.Path(folder) / "a.bin").write_bytes(content)
        yield curl(base, key, "-F", f"file=@{folder}/a.bin", "-F", "title=x", base + "/upload")


def download_is_resumed(base, key):
    with tempfile.TemporaryDirectory(prefix="keygate-compat-") as folder:
        part = pathlib.Path(folder) / "part"
        part.write_bytes((pathlib.Path(__file__).resolve().parent / "page/alphabet.txt").read_bytes()[:5000])
        yield curl(base, key, "-w", "%{http_code}", "-C", "-", "-o", str(part), base + "/page/alphabet.txt")
        yield part.read_bytes()


def connections_are_kept(base, key):
    """How many connections curl opened for each of four requests: one for the first, none after."""
    urls = [f"{base}/echo/{number}" for number in range(4)]
    yield curl(base, key, "-w", "%{num_connects}\n", "--remove-on-error", *[part for url in urls for part in ("-o", "/dev/null", url)])


def many_at_once(base, key):
    with httpx.Client(trust_env=False, headers=credential(key), timeout=GUARD_SECONDS) as client:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = pool.map(lambda number: client.get(f"{base}/bytes/{number * 1000}"), range(60))
            yield [(answer.status_code, len(answer.content)) for answer in answers]


def session(key):
    client = requests.Session()
    client.trust_env = False
    client.headers.update(credential(key))
    return client


def curl(base, key, *arguments):
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", str(GUARD_SECONDS)]
    for name, value in credential(key):
        command += ["-H", f"{name}: {value}"]
    run = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True)
    return run.returncode, run.stdout, run.stderr


FLOWS = [
    conditional_download,
    cookies_come_back,
    redirects_are_followed,
    events_arrive_as_they_happen,
    web_socket_echoes,
    uploads,
    download_is_resumed,
    connections_are_kept,
    many_at_once,
]


def flows_for(server):
    # simple-websocket, which Flask-Sock uses, may end the connection before it has answered a close.
    return FLOWS + ([web_socket_is_closed_by_its_client] if server != "flask" else [])


def see(flow, base, key):
    """All that a flow saw, with its failure as the last of it."""
    seen = []
    try:
        for one in flow(base, key):
            seen.append(one)
    except Exception as error:
        seen.append(f"failed: {type(error).__name__}: {error}")
    return seen
