"""Processes that are pinned to cores, measured with all their children, and never left behind."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds."""

    user: float
    system: float

    @property
    def total(self):
        return self.user + self.system

    def __add__(self, other):
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, earlier):
        return Cpu(self.user - earlier.user, self.system - earlier.system)


def free_port():
    """A TCP port that the system says is free on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on_cores(cores):
    """For `preexec_fn`: pins the child, and has it stopped if the race itself is killed."""

    def pin():
        os.sched_setaffinity(0, cores)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return pin


def tree(pid):
    """This process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


class Service:
    """A server that runs for the length of the race. Its log is `<name>.log` in `folder`."""

    def __init__(self, name, argv, cores, folder, environment=None):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
                preexec_fn=on_cores(cores), env=os.environ | (environment or {}),
            )

    def wait_until_listening(self, port, seconds=60):
        """Returns how long it took; raises with the end of its log if it stopped or never listened."""
        start = time.monotonic()
        while not answers(port):
            if self.process.poll() is not None or time.monotonic() - start > seconds:
                raise RuntimeError(f"{self.name} does not listen on port {port}:\n{self.log_tail()}")
            time.sleep(0.02)
        return time.monotonic() - start

    def log_tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def running(self):
        return self.process.poll() is None

    def cpu(self):
        user = system = 0
        for pid in tree(self.process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            user += int(fields[11])
            system += int(fields[12])
        return Cpu(user / TICKS, system / TICKS)

    def memory(self):
        """Bytes in memory of the whole tree; pages that several of its processes share are counted once (PSS)."""
        kilobytes = 0
        for pid in tree(self.process.pid):
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            kilobytes += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return kilobytes * 1024

    def stop(self):
        """SIGTERM, ten seconds, SIGKILL; each to all that it started."""
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        if self.process.poll() is None:
            raise RuntimeError(f"{self.name} (process {self.process.pid}) does not stop")


class Team:
    """What takes part under one name: a gateway, or a front and, first, the door that it asks. Clients talk to the last."""

    def __init__(self, name, services):
        self.name, self.services = name, services
        self.memory_at_start = 0  # set once it is ready

    def log_tail(self):
        return "\n".join(service.log_tail() for service in self.services)

    def running(self):
        return all(service.running() for service in self.services)

    def cpu(self):
        total = Cpu(0, 0)
        for service in self.services:
            total += service.cpu()
        return total

    def door_cpu(self):
        """Of the one that is asked; None where nobody is."""
        return self.services[0].cpu() if len(self.services) > 1 else None

    def memory(self):
        return sum(service.memory() for service in self.services)


def run(argv, cores, seconds, folder=None):
    """Runs a load generator to its end, at most `seconds`; returns what it printed and the CPU it took."""
    before = os.times()
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, cwd=folder, preexec_fn=on_cores(cores)
    )
    after = os.times()
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed ({done.returncode}):\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    cpu = Cpu(after.children_user - before.children_user, after.children_system - before.children_system)
    return done.stdout, cpu


def machine_busy():
    """Seconds of CPU that all cores together were not idle, since boot; steal included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS
