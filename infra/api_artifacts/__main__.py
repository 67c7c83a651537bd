"""Writes all files that are made from the OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from cloud_functions.settings import DatabaseSettings
from infra.api_artifacts.postman import postman_collection
from infra.api_artifacts.python_types import python_types

ROOT: Final = Path(__file__).resolve().parents[2]


def _collection(document: Mapping[str, Any]) -> str:
    return json.dumps(postman_collection(document), indent=1, ensure_ascii=False) + "\n"


def _types(document: Mapping[str, Any]) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "infra/client/types.py", "-"]
    formatted = subprocess.run(  # noqa: S603
        command, input=python_types(document), capture_output=True, text=True, check=True, cwd=ROOT
    )
    return formatted.stdout


FILES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "infra/client/vedette/client/types.py": _types,
    "docs/examples/vedette.postman_collection.json": _collection,
}
"""The function that makes the content of each file."""


def openapi_document() -> Mapping[str, Any]:
    """Return the OpenAPI document. No service is needed."""
    return lambda_app(ApiSettings(database=DatabaseSettings(), bucket="snapshots")).openapi()


def main() -> None:
    """Write the files."""
    document = openapi_document()
    for name, make in FILES.items():
        (ROOT / name).write_text(make(document), encoding="utf-8")


if __name__ == "__main__":
    main()
