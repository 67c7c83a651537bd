"""``python -m shared.schemas DIR``: write the contract as JSON Schema, for clients in other languages."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from shared.commands import Command, Reply
from shared.events import event_json_schema
from shared.heartbeat import DeviceStatus, Heartbeat

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every message type, by file name."""
    command: TypeAdapter[Command] = TypeAdapter(Command)
    return {
        "event.schema.json": _titled("Vedette event, on the wire", event_json_schema()),
        "command.schema.json": _titled("Vedette command to a device", command.json_schema()),
        "reply.schema.json": _titled("Vedette reply of a device", Reply.model_json_schema()),
        "heartbeat.schema.json": _titled("Vedette heartbeat of a device", Heartbeat.model_json_schema()),
        "status.schema.json": _titled("Vedette device status, retained", DeviceStatus.model_json_schema()),
    }


def render(schema: dict[str, Any]) -> str:
    """Return the exact content of the file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files. With ``--check``, compare them only and return 1 if one is outdated."""
    parser = argparse.ArgumentParser(prog="python -m shared.schemas", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a file is outdated")
    options = parser.parse_args(arguments)
    outdated: list[str] = []
    for name, schema in schemas().items():
        path = options.folder / name
        if options.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != render(schema):
                outdated.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(schema), encoding="utf-8")
    if outdated:
        sys.stderr.write(f"outdated: {', '.join(outdated)}; run `make schemas`\n")
    return 1 if outdated else 0


def _titled(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT} | schema | {"title": title}


if __name__ == "__main__":
    sys.exit(main())
