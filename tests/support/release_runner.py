"""Ingest and API of the release whose source is first on PYTHONPATH; run with ``python -P`` (see ``previous_release``).

Reads a line of JSON for each request on stdin: ``["ingest", EVENT]`` or ``["api", EVENT]``. Writes a line with the
result, or ``{"error": …}``, on stdout; the first line is the file of the package that runs.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the functions log to stdout
    from cloud_functions.api import handler
    from cloud_functions.ingest.handler import build_ingest

    ingest = build_ingest()
    results = {"ingest": ingest.handle, "api": lambda event: handler.handler(event, None)}
    print(json.dumps(handler.__file__), file=output, flush=True)
    for line in sys.stdin:
        kind, event = json.loads(line)
        try:
            result = results[kind](event)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=output, flush=True)


if __name__ == "__main__":
    main()
