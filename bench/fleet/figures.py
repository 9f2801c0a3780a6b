"""From what was measured to what is printed and kept."""

import datetime
import json

from racing import report, setting


def percentile(values, hundredths):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * hundredths // 100)] if ordered else float("nan")


def spread(values):
    return {"p50": percentile(values, 50), "p90": percentile(values, 90), "p99": percentile(values, 99), "max": max(values, default=float("nan"))}


def told(values, unit="ms", decimals=1):
    return ", ".join(f"{name} {value:,.{decimals}f} {unit}" for name, value in spread(values).items())


def keep(given, kind, result):
    """Writes what was found, with the machine and the arguments; returns where."""
    now = datetime.datetime.now(datetime.timezone.utc)
    path = given.json or setting.RESULTS / f"{now:%Y-%m-%d}-{kind}.json"
    # Where things are on this machine says nothing about them.
    parameters = {name: value for name, value in vars(given).items() if name not in ("json", "keep", "binary", "client")}
    whole = {"format": 1, "scenario": kind, "machine": report.machine(), "at": now.isoformat(timespec="seconds"), "parameters": parameters, **result}
    setting.RESULTS.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(whole, indent=1) + "\n")
    return path
