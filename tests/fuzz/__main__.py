"""Runs Schemathesis against the running API with each role: no 5xx, no response that the OpenAPI document forbids.

Schemathesis is in an environment of its own (``.venv-fuzz``), because its pytest plugin and its dependencies concern no
other test. ``make fuzz ARGS="--examples 300 --callers admin"`` tries more, or fewer callers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from cloud_functions.db.migrate import upgrade
from tests.benchmarks.filled_database import database_server
from tests.fuzz.served_api import ServedApi, served_api

SCHEMATHESIS: Final = Path(".venv-fuzz/bin/schemathesis")
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="requests for each operation and phase (default: 50)")
    parser.add_argument("--callers", nargs="*", metavar="NAME", help="which of the callers (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the requests (default: 1)")
    options = parser.parse_args()
    failed: list[str] = []
    with database_server(durable=False) as server:
        server.create_database("template")
        upgrade(server.url_of("template"))
        for number, name in enumerate(options.callers or ["admin", "operator", "viewer", "limited admin", "nobody"]):
            database = f"fuzz_{number}"
            server.create_database(database, template="template")
            with served_api(server.url_of(database)) as api:
                print(f"\n=== {name} ===", flush=True)
                if _run(api, name, examples=options.examples, seed=options.seed):
                    failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def _run(api: ServedApi, name: str, *, examples: int, seed: int) -> int:
    headers = [part for key, value in api.headers[name].items() for part in ("--header", f"{key}: {value}")]
    command = [
        str(SCHEMATHESIS), "run", f"{api.url}/openapi.json", *headers, "--checks", ",".join(CHECKS),
        "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color",
        "--exclude-path-regex", "^/api/auth/(login|refresh|logout)", "--output-sanitize", "true",
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
