"""Five real clients with one manner: `client.send(cases, base, key)` gives each case's name its Answer."""

import base64
import http.server
import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass

import httpx
import requests

HERE = pathlib.Path(__file__).resolve().parent
GUARD_SECONDS = 60


@dataclass
class Answer:
    """What a client saw; status 0 and a text where it saw no answer at all."""

    status: int
    headers: list
    body: bytes


def failed(error):
    return Answer(0, [], f"{type(error).__name__}: {error}".encode())


def credential(key):
    return [("Authorization", f"Bearer {key}")] if key else []


class Curl:
    def send(self, cases, base, key):
        with tempfile.TemporaryDirectory(prefix="keygate-compat-") as folder:
            return {case.name: self.one(case, base, key, pathlib.Path(folder)) for case in cases}

    def one(self, case, base, key, folder):
        sent, head, body = folder / "sent", folder / "head", folder / "body"
        body.write_bytes(b"")
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", str(GUARD_SECONDS), "--path-as-is", "--globoff"]
        command += ["-0"] if case.http10 else []
        command += ["--head"] if case.method == "HEAD" else ["-X", case.method]
        for name, value in [*case.headers, *credential(key)]:
            command += ["-H", f"{name}: {value}".encode("latin-1")]
        if case.body or case.method in ("POST", "PUT"):
            sent.write_bytes(case.body)
            command += ["--data-binary", f"@{sent}"]
            command += ["-H", "Transfer-Encoding: chunked"] if case.chunked else []
        run = subprocess.run([*command, "-D", head, "-o", body, base + case.path], stdin=subprocess.DEVNULL, capture_output=True)
        if run.returncode:
            return Answer(0, [], run.stderr)
        return answer_of(head.read_bytes(), b"" if case.method == "HEAD" else body.read_bytes())


def answer_of(heads, body):
    """The last head that curl saw, which is the final one after any 100 Continue."""
    lines = heads.decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    return Answer(int(lines[0].split()[1]), headers, body)


class Requests:
    def send(self, cases, base, key):
        with requests.Session() as session:
            session.trust_env = False
            return {case.name: self.one(session, case, base, key) for case in cases}

    def one(self, session, case, base, key):
        body = pieces(case.body) if case.chunked else case.body
        headers = dict([*case.headers, *credential(key)])
        try:
            session.cookies.clear()
            got = session.request(
                case.method, base + case.path, headers=headers, data=body, allow_redirects=False, timeout=GUARD_SECONDS
            )
            return Answer(got.status_code, list(got.raw.headers.iteritems()), got.content)
        except requests.RequestException as error:
            return failed(error)


class Httpx:
    def send(self, cases, base, key):
        with httpx.Client(trust_env=False, timeout=GUARD_SECONDS) as client:
            return {case.name: self.one(client, case, base, key) for case in cases}

    def one(self, client, case, base, key):
        body = pieces(case.body) if case.chunked else case.body
        try:
            client.cookies.clear()
            got = client.request(case.method, base + case.path, headers=[*case.headers, *credential(key)], content=body)
            return Answer(got.status_code, got.headers.multi_items(), got.content)
        except httpx.HTTPError as error:
            return failed(error)


def pieces(body):
    for start in range(0, len(body), 70_000):
        yield body[start : start + 70_000]


class Java:
    """java.net.http.HttpClient in one process, told its cases and telling its answers in lines of Base64."""

    def __init__(self, server):
        # Node takes the h2c upgrade that Java offers by default as its own and answers 400 once it serves WebSocket.
        self.version = "HTTP_1_1" if server == "express" else "HTTP_2"

    def send(self, cases, base, key):
        with tempfile.TemporaryDirectory(prefix="keygate-compat-") as folder:
            source = HERE / "clients" / "Client.java"
            subprocess.run(["javac", "-proc:none", "-d", folder, source], check=True, stdin=subprocess.DEVNULL)
            command = ["java", "-XX:TieredStopAtLevel=1", "-Djdk.httpclient.allowRestrictedHeaders=expect", "-cp", folder]
            lines = "".join(self.line(case, base, key) for case in cases)
            run = subprocess.run([*command, "Client", self.version], input=lines, capture_output=True, text=True, check=True)
        answers = [[base64.b64decode(part) for part in line.split("\t")] for line in run.stdout.splitlines()]
        assert len(answers) == len(cases), run.stderr
        return {case.name: self.answer(parts) for case, parts in zip(cases, answers)}

    def line(self, case, base, key):
        headers = "\n".join(f"{name}: {value}" for name, value in [*case.headers, *credential(key)])
        parts = [case.method.encode(), (base + case.path).encode(), headers.encode(), b"chunked" if case.chunked else b"", case.body]
        return "\t".join(base64.b64encode(part).decode() for part in parts) + "\n"

    def answer(self, parts):
        status, headers, body = parts
        pairs = [tuple(line.split(": ", 1)) for line in headers.decode().split("\n") if line]
        return Answer(int(status), pairs, body)


class Browser:
    """A page in headless Chromium that sends the cases with fetch, and brings the answers to a server of ours."""

    def send(self, cases, base, key):
        reported = queue.Queue()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.desk(cases, key, reported))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory(prefix="keygate-compat-", ignore_cleanup_errors=True) as folder:
            command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
            command += ["--no-proxy-server", "--disable-background-networking", f"--user-data-dir={folder}"]
            page = f"{base}/page/browser.html?desk={server.server_port}"
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            browser = subprocess.Popen([*command, page], start_new_session=True, **quiet)
            try:
                report = reported.get(timeout=2 * GUARD_SECONDS)
            finally:
                stop_group(browser)
                server.shutdown()
                server.server_close()
        return {one["name"]: Answer(one["status"], one["headers"], base64.b64decode(one["body"])) for one in report}

    def desk(self, cases, key, reported):
        told = [
            {"name": c.name, "method": c.method, "path": c.path, "headers": c.headers, "body": base64.b64encode(c.body).decode()}
            for c in cases
        ]
        script = f"const CASES = {json.dumps(told)}; const KEY = {json.dumps(key)}".encode()

        class Desk(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(script, "text/javascript")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(b"", "text/plain")
                reported.put(json.loads(body))

            def answer(self, body, media):
                self.send_response(200)
                self.send_header("Content-Type", media)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Desk


def stop_group(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def clients_for(server):
    return {"curl": Curl(), "requests": Requests(), "httpx": Httpx(), "java": Java(server), "browser": Browser()}
