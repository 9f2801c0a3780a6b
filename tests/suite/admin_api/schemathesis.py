"""Asks the admin API what schemathesis can think of: DOCUMENT URL SECRET REPORT.

Always the same requests: one seed, few examples, no database of earlier failures. Fails on a 5xx, and on a status, media
type, header or body that the document does not have.
"""

import json
import os
import subprocess
import sys
import tempfile

path, url, secret, report = sys.argv[1:]
with open(path, encoding="utf-8") as stored:
    document = json.load(stored)
# Who shows a key must show no session.
document["security"] = [{"key": []}]
del document["components"]["securitySchemes"]["session"]
command = [
    os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", "openapi.json", "--url", url,
    "--header", f"Authorization: Bearer {secret}",
    "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--workers", "1",
    "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance",
    "--suppress-health-check", "all", "--continue-on-failure", "--no-shrink", "--request-timeout", "30",
]
with tempfile.TemporaryDirectory() as folder, open(report, "w", encoding="utf-8") as output:
    with open(os.path.join(folder, "openapi.json"), "w", encoding="utf-8") as served:
        json.dump(document, served)
    sys.exit(subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False).returncode)
