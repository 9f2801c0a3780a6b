"""Sends every case with every client to a server of the API zoo, directly and through Keygate, and compares what came back.

    python compare.py SERVER --direct URL [--through URL --key SECRET] [--client NAME]…

Without --through it compares the server with itself, which shows that the cases themselves are steady. What may differ
stands in differences.yaml with its reason; an entry there that no longer differs is a failure too. The last line is
`N passed, N failed`.
"""

import argparse
import collections
import fnmatch
import json
import pathlib
import sys
import time

import yaml

from cases import cases_for
from clients import clients_for
from flows import flows_for, see

HERE = pathlib.Path(__file__).resolve().parent
RULES = yaml.safe_load((HERE / "differences.yaml").read_text())


def main():
    asked = arguments()
    through, key = asked.through or asked.direct, asked.key
    tally = Tally(asked.server, gated=asked.through is not None)
    for name, client in clients_for(asked.server).items():
        if asked.client and name not in asked.client:
            continue
        start = time.monotonic()
        cases = cases_for(asked.server, name)
        direct = client.send(cases, asked.direct, None)
        gated = client.send(cases, through, key)
        for case in cases:
            tally.judge(name, case.name, differences(direct[case.name], gated[case.name], asked.direct, through), gated[case.name])
        print(f"{asked.server} {name}: {len(cases)} cases in {time.monotonic() - start:.1f} s", flush=True)
    if not asked.client or "flows" in asked.client:
        flow_all(asked, through, key, tally)
    tally.stale_entries(asked.client)
    print(f"{tally.passed} passed, {tally.failed} failed ({tally.listed} of the passed differ as differences.yaml says)")
    sys.exit(1 if tally.failed else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=["flask", "django", "express", "tomcat"])
    parser.add_argument("--direct", required=True)
    parser.add_argument("--through")
    parser.add_argument("--key")
    parser.add_argument("--client", action="append")
    return parser.parse_args()


def flow_all(asked, through, key, tally):
    for flow in flows_for(asked.server):
        direct, gated = (neutral(see(flow, *at), at[0]) for at in [(asked.direct, None), (through, key)])
        found = [f"direct  {direct}", f"through {gated}"] if direct != gated else []
        if not found and direct and str(direct[-1]).startswith("failed"):
            found = [f"fails without Keygate too: {direct[-1]}"]
        tally.judge("flows", flow.__name__, found, None)


def neutral(seen, base):
    return [json.loads(json.dumps(one, default=repr).replace(base.removeprefix("http://"), "{base}")) for one in seen]


def differences(direct, through, direct_base, through_base):
    """What differs between two answers, each in a line."""
    if direct.status == 0:
        return [f"does not work without Keygate either, so it shows nothing: {short(direct.body)}"]
    one, other = comparable(direct, direct_base), comparable(through, through_base)
    return [difference(part, one[part], other[part]) for part in one if one[part] != other[part]]


def difference(part, one, other):
    if isinstance(one, list) and isinstance(other, list):
        one, other = [[line for line in lines if line not in rest] for lines, rest in [(one, other), (other, one)]]
    return f"{part}: direct {short(one)} | through {short(other)}"


def comparable(answer, base):
    """An answer without what may differ between any two runs: its parts by name."""
    authority = base.removeprefix("http://")
    skipped = {entry["name"] for entry in RULES["response_headers"] if entry.get("status", answer.status) == answer.status}
    headers = sorted((name.lower(), value.replace(authority, "{base}")) for name, value in answer.headers)
    headers = [(name, value) for name, value in headers if name not in skipped]
    body = answer.body.replace(authority.encode(), b"{base}")
    if echo := echoed(body):
        # The length and entity tag of an echo change with the headers that are compared one by one below.
        headers = [(name, value) for name, value in headers if name not in ("content-length", "etag")]
        body = sorted(f"{name}: {value}" for name, value in flat(echo))
    return {"status": answer.status, "headers": headers, "body": body}


def echoed(body):
    """The request that an echo tells of, without the headers that Keygate adds and removes by design."""
    if not body.startswith(b"{") or b'"sha256"' not in body:
        return None
    echo = json.loads(body)
    patterns = [entry["name"] for entry in RULES["request_headers"]]
    listed = [[n.lower(), v] for n, v in echo["headers"] if not any(fnmatch.fnmatch(n.lower(), p) for p in patterns)]
    # The value of Expect is compared without case (RFC 9110 §10.1.1).
    return echo | {"headers": sorted([n, v.lower() if n == "expect" else v] for n, v in listed)}


def flat(echo):
    return [*((name, value) for name, value in echo.items() if name != "headers"), *echo["headers"]]


def short(part):
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
    return text if len(text) < 500 else f"{text[:500]}… ({len(text)})"


class Tally:
    def __init__(self, server, gated):
        self.server, self.gated = server, gated
        self.passed = self.failed = self.listed = 0
        self.used = collections.Counter()

    def judge(self, client, name, found, answer):
        entry = self.entry(client, name) if self.gated else None
        if entry and found and (answer is None or answer.status == entry["through"]):
            self.used[id(entry)] += 1
            self.listed += 1
            self.passed += 1
        elif found:
            self.fail(f"{self.server} {client} {name}", found)
        else:
            self.passed += 1

    def entry(self, client, name):
        def fits(entry):
            return (
                fnmatch.fnmatchcase(name, entry["case"])
                and client in entry.get("clients", [client])
                and self.server in entry.get("servers", [self.server])
            )

        return next((entry for entry in RULES["cases"] if fits(entry)), None)

    def stale_entries(self, only):
        for entry in RULES["cases"] if self.gated and not only else []:
            if self.server in entry.get("servers", [self.server]) and not self.used[id(entry)]:
                self.fail(f"{self.server} differences.yaml", [f"case {entry['case']!r} no longer differs: remove the entry"])

    def fail(self, what, lines):
        self.failed += 1
        print(f"FAILED {what}", *[f"    {line}" for line in lines], sep="\n", flush=True)


if __name__ == "__main__":
    main()
