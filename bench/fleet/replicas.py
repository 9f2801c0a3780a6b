"""Gateways that follow one database, each through a network of its own."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from racing import process, setting, upstream

from .network import Network
from .postgres import Postgres

CONFIG = """
version: 1
listen: {{address: '127.0.0.1:{port}'}}
health: {{address: '127.0.0.1:{health}'}}
admin: {admin}
state: state
upstreams: {{api: {{url: 'http://127.0.0.1:{upstream}'}}}}
keys: {{database: '{database}'}}
staleness: {{max: {lease}, then: {then}}}
workers: 1
access_log: {{mode: off}}
routes:
  - {{path: '/{{*rest}}', methods: {{GET: read, '*': write}}}}
"""


def binary(given):
    found = Path(given) if given else setting.ROOT / "target/dist/keygate"
    if not os.access(found, os.X_OK):
        raise RuntimeError(f"{found} is missing: cargo build --profile dist, or --binary PATH")
    return str(found.resolve())


def client(given):
    """The program that drives a fleet; built if none is given."""
    if given.client:
        return given.client
    subprocess.run(["cargo", "build", "--quiet", "--release", "--example", "fleet-client"], cwd=setting.ROOT, check=True)
    return str(Path(os.environ.get("CARGO_TARGET_DIR", setting.ROOT / "target")) / "release/examples/fleet-client")


class Replica:
    def __init__(self, number, binary, folder, cores, config):
        self.name, self.binary, self.folder, self.cores = f"replica-{number}", binary, folder / f"replica-{number}", cores
        self.port, self.health, self.admin, self.service = process.free_port(), process.free_port(), process.free_port(), None
        admin = f"{{address: '127.0.0.1:{self.admin}'}}" if config.pop("has_console") else "null"
        (self.folder / "state").mkdir(parents=True)
        (self.folder / "keygate.yaml").write_text(CONFIG.format(port=self.port, health=self.health, admin=admin, **config))

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        self.service = process.Service(self.name, [self.binary, "serve", "--config", "keygate.yaml"], self.cores, self.folder)
        if wait:
            self.service.wait_until_listening(self.port)

    def signal(self, number):
        self.service.process.send_signal(number)

    def kill(self):
        self.service.process.kill()
        self.service.process.wait()

    def stop(self):
        if self.service is not None:
            self.service.stop()


class Fleet:
    """A context: everything that it started has stopped when it ends, and its folder is gone unless it is kept."""

    def __init__(self, given, then="serve", lease="15m", count=3, folder=None, has_console=False):
        self.given, self.binary, self.then, self.lease, self.count = given, binary(given.binary), then, lease, count
        self.has_console = has_console
        self.cores = [os.sched_getaffinity(0)] * 3
        self.folder, self.is_kept = Path(folder).resolve(), bool(given.keep)
        self.started, self.replicas, self.networks = [], [], []

    def __enter__(self):
        try:
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _prepare(self):
        nginx = shutil.which("nginx")
        if nginx is None:
            raise RuntimeError("nginx is not installed: apt-get install nginx-light, or scripts/test-tools")
        self.folder.mkdir(parents=True, exist_ok=True)
        on_gateway, on_upstream, on_load = self.cores
        self.postgres = Postgres(self.folder, on_upstream)
        self.started.append(self.postgres)
        self.postgres.start()
        behind = process.free_port()
        self.started.append(upstream.start(nginx, behind, on_upstream, setting.make_folder(self.folder, "upstream"), setting.files_limit()))
        for number in range(self.count):
            network = Network(self.postgres.port)
            self.networks.append(network)
            self.started.append(network)
            config = {"upstream": behind, "database": self.postgres.url(network.port), "lease": self.lease, "then": self.then, "has_console": self.has_console}
            self.replicas.append(Replica(number, self.binary, self.folder, on_gateway, config))
        self.desk = setting.make_folder(self.folder, "desk")
        config = {"upstream": behind, "database": self.postgres.url(), "lease": self.lease, "then": self.then, "port": 1, "health": 2, "admin": "null"}
        (self.desk / "keygate.yaml").write_text(CONFIG.format(**config))

    def start_replicas(self):
        for replica in self.replicas:
            self.started.append(replica)
            replica.start()

    def keygate(self, *arguments, seconds=120):
        """A command at a desk from which the database can be reached directly."""
        return subprocess.run([self.binary, *arguments], cwd=self.desk, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False)

    def tool(self, *arguments, seconds=3600):
        """One command of fleet-client."""
        done = subprocess.run([client(self.given), *map(str, arguments)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"fleet-client {arguments[0]}: {done.stderr[-2000:]}")
        return done.stdout

    def __exit__(self, *_):
        for one in reversed(self.started):
            try:
                one.stop()
            except (OSError, RuntimeError) as error:
                print(f"{type(one).__name__}: {error}", file=sys.stderr)
        if not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(what, is_so, seconds=60):
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > seconds:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
