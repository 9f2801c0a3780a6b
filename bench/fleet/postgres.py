"""A PostgreSQL server of its own: Debian's binaries on a folder and a port of their own."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from racing.process import answers, free_port, on_cores, tree


def binaries():
    """The newest installed version; an error that says what to do where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql, or scripts/test-tools")
    return found[-1].parent


class Postgres:
    """Durable as in production: what it says is committed is on disk."""

    def __init__(self, folder, cores):
        self.folder, self.cores, self.port, self.process = folder / "postgres", cores, free_port(), None
        self.folder.mkdir(mode=0o700)
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.user:
            for parent in [folder, *folder.parents]:
                if not os.stat(parent).st_mode & 0o001:
                    os.chmod(parent, os.stat(parent).st_mode | 0o011)
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        initdb = [binaries() / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(self.user + initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.log = (folder / "postgres.log").open("ab")

    def url(self, port=None):
        """Of the database in which everything is, through another port if one is given."""
        return f"postgres://postgres@127.0.0.1:{port or self.port}/postgres?sslmode=disable"

    def start(self):
        begun = time.monotonic()
        # Sessions that were killed with the last one may not have ended yet: then it ends at once.
        while not self._started():
            if time.monotonic() - begun > 60:
                raise RuntimeError(f"PostgreSQL does not start; see {self.log.name}")
            time.sleep(0.1)

    def _started(self):
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "shared_buffers": "256MB", "max_wal_size": "4GB"}
        server = [binaries() / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        server += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            self.user + server, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd="/", start_new_session=True, preexec_fn=on_cores(self.cores)
        )
        begun = time.monotonic()
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() - begun > 60:
                return False
            time.sleep(0.05)
        return True

    def _is_ready(self):
        asking = [binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return answers(self.port) and subprocess.run(asking, check=False).returncode == 0

    def analyze(self):
        """What autovacuum does within a minute of many changes: the planner learns how many rows there are."""
        asking = [binaries() / "psql", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", "ANALYZE"]
        subprocess.run(asking, check=True)

    def give_way(self):
        """From now on it runs below everything else: the nearest to a machine of its own."""
        for pid in tree(self.process.pid):
            os.setpriority(os.PRIO_PROCESS, pid, 10)

    def signal(self, number):
        """To the server and all its sessions."""
        for pid in tree(self.process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self):
        """As a power cut would end it."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
