"""Keys, as many as are wanted."""

import hashlib
import time

SECRETS = 2_000  # of the first keys, which requests carry
# As the guide has it; a list may hold 64 MiB at most.
KEYS_AT_ONCE = 50_000


def import_keys(fleet, count, secrets_file, owners=("",)):
    """Through the command, as digests, a part at a time; the seconds that it took. The first secrets are kept."""
    seconds = 0
    with open(secrets_file, "w", encoding="utf-8") as secrets:
        for start in range(0, count, KEYS_AT_ONCE):
            with open(f"{fleet.desk}/keys.csv", "w", encoding="utf-8") as rows:
                rows.write("id,name,hash,scopes,projects,expires_at,owner\n")
                for number in range(start, min(start + KEYS_AT_ONCE, count)):
                    key, secret = f"bench-{number:07}", f"bench-{number:07}-0123456789abcdefghijklmnopqrstuv"
                    digest = hashlib.sha256(secret.encode()).hexdigest()
                    rows.write(f"{key},name of the key {number:07},sha256:{digest},admin,all,never,{owners[number % len(owners)]}\n")
                    if number < SECRETS:
                        secrets.write(f"{key} {secret}\n")
            begun = time.monotonic()
            done(fleet.keygate("keys", "import", "keys.csv", seconds=1800))
            seconds += time.monotonic() - begun
    return seconds


def done(command):
    if command.returncode != 0:
        raise RuntimeError(f"{' '.join(command.args[1:3])}: exit {command.returncode}\n{command.stdout[-2000:]}{command.stderr[-2000:]}")
    return command.stderr.strip()
