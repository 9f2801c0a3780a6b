"""What a run finds around it: the repository, cores, the limit of open files, its own load generator."""

import os
import resource
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/performance.md"
RESULTS = ROOT / "bench/results"


def cores(chosen=None):
    """(gateway, upstream, load), each a set of cores; `chosen` is three numbers with colons between. With more than two cores,
    upstream and load are apart too."""
    if chosen:
        parts = [{int(core)} for core in chosen.split(":") if core.isdigit()]
        if len(parts) != 3 or parts[0] & (parts[1] | parts[2]):
            raise RuntimeError("--cores wants three numbers, and the gateway's for itself")
        return parts
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise RuntimeError("two cores are needed: one for the gateway, one for load and upstream")
    return {available[0]}, {available[1]}, set(available[2:3] or available[1:2])


def files_limit():
    """Raises this process's limit of open files to what is allowed, at most 65,536; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def open_loop():
    """Builds the open-loop load generator; its path."""
    return example("open-loop")


def example(name):
    """Builds one of the repository's own load generators and upstreams, in the profile that the gateway was built in; its path. One
    that is newer than its file is there already: cargo would build the whole library again, of which it uses nothing."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built, source = target / "dist/examples" / name, ROOT / "bench" / f"{name.replace('-', '_')}.rs"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cargo", "build", "--quiet", "--profile", "dist", "--example", name], cwd=ROOT, check=True)
    return str(built)


def make_folder(folder, name):
    (folder / name).mkdir(exist_ok=True)
    return folder / name
