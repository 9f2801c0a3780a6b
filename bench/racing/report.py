"""From rounds to figures: medians with their spread, ratios by round, a table, a JSON file, a block in the documentation."""

import json
import platform
import statistics
from pathlib import Path

# Metric of a round → (heading, decimals, divisor)
METRICS = {
    "cpu_us": ("CPU µs/request", 1, 1),
    "user_us": ("of it user", 1, 1),
    "per_second": ("requests/s", 0, 1),
    "p50_us": ("p50 ms", 2, 1000),
    "p99_us": ("p99 ms", 2, 1000),
    "memory_bytes": ("memory MB", 1, 1e6),
    "core_used": ("core used %", 0, 0.01),
}
EXTRA = {
    "door_us": ("door µs/request", 1, 1),
    "connections": ("connections", 0, 1),
    "bytes_per_connection": ("bytes/connection", 0, 1),
    "idle_cpu_us_per_s": ("CPU µs per idle second", 0, 1),
    "p90_us": ("p90 ms", 2, 1000),
    "p999_us": ("p99.9 ms", 2, 1000),
    "max_us": ("max ms", 2, 1000),
}
RATIOS = ["cpu_us", "door_us", "per_second", "p50_us", "p99_us", "memory_bytes", "bytes_per_connection"]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(rounds):
    """gateway → metric → {median, min, max}, in the order of the first round."""
    gateways = list(dict.fromkeys(one["gateway"] for one in rounds))
    summary = {}
    for gateway in gateways:
        own = [one for one in rounds if one["gateway"] == gateway]
        summary[gateway] = {metric: spread([one[metric] for one in own]) for metric in METRICS | EXTRA if metric in own[0]}
    return summary


def ratios(rounds, subject):
    """other → metric → {median, min, max} of subject/other, each taken within one round, so that what slows both cancels."""
    by_place = {(one["round"], one["gateway"]): one for one in rounds}
    compared = {}
    for gateway in dict.fromkeys(one["gateway"] for one in rounds if one["gateway"] != subject):
        pairs = [(by_place.get((number, subject)), by_place[number, gateway]) for number in sorted({one["round"] for one in rounds})]
        pairs = [(own, other) for own, other in pairs if own]
        found = {
            metric: spread([own[metric] / other[metric] for own, other in pairs])
            for metric in RATIOS if pairs and all(own.get(metric) and other.get(metric) for own, other in pairs)
        }
        if found:
            compared[gateway] = found
    return compared


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    return {
        "cpu": cpu, "cores": len(Path("/proc/stat").read_text().split("\ncpu")) - 1, "sha_ni": " sha_ni" in flags,
        "siblings_of_core_0": siblings.read_text().strip() if siblings.exists() else "unknown",
        "kernel": platform.release(), "memory_bytes": memory, "python": platform.python_version(),
    }


def _cell(value, decimals, divisor):
    median, low, high = (f"{value[which] / divisor:,.{decimals}f}" for which in ("median", "min", "max"))
    return median if low == high else f"{median} ({low}–{high})"


def table(result):
    """A Markdown table: median, and in brackets the lowest and highest round."""
    columns = {metric: shown for metric, shown in (METRICS | EXTRA).items() if any(metric in row for row in result["summary"].values())}
    unit = result["unit"]
    headings = [shown[0].replace("request", unit) if metric == "cpu_us" else shown[0] for metric, shown in columns.items()]
    lines = ["| gateway | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(columns)]
    for gateway, row in result["summary"].items():
        name = f"{gateway} {result['versions'].get(gateway, '')}".strip()
        lines.append(f"| {name} | " + " | ".join(_cell(row[metric], *shown[1:]) if metric in row else "" for metric, shown in columns.items()) + " |")
    if result["ratios"]:
        metrics = [metric for metric in RATIOS if any(metric in row for row in result["ratios"].values())]
        shown = METRICS | EXTRA
        lines += ["", "| ratio | " + " | ".join(shown[metric][0].split(" ")[0] if metric != "per_second" else "requests/s" for metric in metrics) + " |"]
        lines.append("|---|" + "---:|" * len(metrics))
        for gateway, row in result["ratios"].items():
            lines.append(f"| {result['subject']} / {gateway} | " + " | ".join(_cell(row[metric], 2, 1) if metric in row else "" for metric in metrics) + " |")
    return "\n".join(lines)


def conditions(result):
    """One paragraph: when, where, and how disturbed."""
    here = result["machine"]
    noise = statistics.median(one["disturbance"] for one in result["rounds"])
    return (
        f"{result['title'][0].upper()}{result['title'][1:]}. {result['started_at'][:10]}, {here['cores']} × {here['cpu']}"
        f"{' with SHA-NI' if here['sha_ni'] else ''}, Linux {here['kernel']}; {result['parameters']['rounds']} interleaved rounds of "
        f"{result['parameters']['seconds']} s; median, and in brackets the lowest and highest round. "
        f"Other processes took {noise:.0%} of the machine meanwhile (median)."
    )


def save(result, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def publish(document, scenario, text):
    """Replaces what stands between this scenario's markers in the document; `small` has the markers without a name."""
    name = "race" if scenario == "small" else f"race:{scenario}"
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    content = document.read_text()
    if begin not in content or end not in content:
        raise RuntimeError(f"{document} has no {begin} … {end}")
    head, rest = content.split(begin, 1)
    tail = rest.split(end, 1)[1]
    document.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
