"""Files of cameras: reads the rows of an import, and writes those of an export, as CSV or JSON.

Both formats have the columns ``COLUMNS``, so an exported file can be imported. A group is named by its slug, because
the ids of another deployment mean nothing here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from cloud_functions.api.cameras.requests import READ_ONLY, CameraRequest
from cloud_functions.api.files.csv_cells import csv_line, original_cell
from cloud_functions.api.http.problems import (
    MAX_REPORTED_ERRORS,
    UNKNOWN_PARAMETER,
    FieldError,
    field_errors,
)

COLUMNS: Final = (
    "name",
    "slug",
    "rtsp_url",
    "group",
    "location",
    "device_id",
    "resolution",
    "fps",
    "codec",
    "is_active",
    "enable_detection",
    "detection_sensitivity",
    "retention_days",
    "settings",
)
CREDENTIAL_COLUMNS: Final = ("username", "password")
MAX_ROWS: Final = 5000
_KNOWN: Final = {*COLUMNS, *CREDENTIAL_COLUMNS, "group_id"}
_BOOLEANS: Final = {
    text: value for value, texts in ((True, ("true", "1", "yes")), (False, ("false", "0", "no"))) for text in texts
}
_BOOLEAN_COLUMNS: Final = ("is_active", "enable_detection")


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row of a file: a camera, or why it is none."""

    number: int
    """Counted from 1, without the line of column names."""
    name: str | None
    camera: CameraRequest | None
    group: str | None = None
    """Id or slug."""
    errors: tuple[FieldError, ...] = ()


def read_rows(content: bytes, file_format: str) -> list[ImportRow]:
    """Return the rows of a file.

    Raises ValueError, without a value of the file, if it is not CSV with known columns or not a JSON array of objects.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text; export it as `CSV UTF-8`") from None
    rows = _csv_rows(text) if file_format == "csv" else _json_rows(text)
    if len(rows) > MAX_ROWS:
        raise ValueError(f"the file has more than {MAX_ROWS} rows; split it")
    return [_row(number, row) for number, row in enumerate(rows, start=1)]


def csv_file(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Return the rows as CSV."""
    names = list(columns)
    lines = [csv_line(names)]
    lines += [csv_line(_csv_value(row.get(name)) for name in names) for row in rows]
    return "".join(lines)


def _csv_rows(text: str) -> list[dict[str, Any]]:
    header = text.partition("\n")[0]
    delimiter = ";" if ";" in header and "," not in header else ","  # spreadsheets of many countries write semicolons
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"the file is not valid CSV: {error}") from None
    if not lines:
        raise ValueError("the file is empty")
    names = [name.strip().lower() for name in lines[0]]
    _check_names(names)
    return [_csv_row(names, line) for line in lines[1:] if any(cell.strip() for cell in line)]


def _check_names(names: list[str]) -> None:
    unknown = sorted({name[:50] for name in names if name not in _KNOWN and name not in READ_ONLY_NAMES})
    if unknown:
        raise ValueError(f"the file has unknown columns; the columns are {', '.join(COLUMNS + CREDENTIAL_COLUMNS)}")
    if len(set(names)) < len(names):
        raise ValueError("the file has a column twice")
    if missing := [name for name in ("name", "rtsp_url") if name not in names]:
        raise ValueError(f"the file has no column {' and no column '.join(missing)}")


def _csv_row(names: list[str], line: list[str]) -> dict[str, Any]:
    if len(line) != len(names):
        return {_MISFORMED: f"has {len(line)} cells instead of {len(names)}"}
    known = [(name, cell) for name, cell in zip(names, line, strict=True) if name not in READ_ONLY_NAMES]
    cells = {name: original_cell(cell) for name, cell in known}
    row: dict[str, Any] = {name: cell if name == "password" else cell.strip() for name, cell in cells.items()}
    row = {name: cell for name, cell in row.items() if cell}
    for name in _BOOLEAN_COLUMNS:
        if name in row:
            row[name] = _BOOLEANS.get(row[name].lower(), row[name])
    if "settings" in row:
        try:
            row["settings"] = json.loads(row["settings"])
        except (ValueError, RecursionError):
            row["settings"] = None
    return row


def _json_rows(text: str) -> list[Any]:
    try:
        document: Any = from_json(text)  # unlike the standard library's, it rejects half a character, such as \ud800
    except ValueError:
        raise ValueError("the file is not valid JSON") from None
    if isinstance(document, dict):  # an export, or the answer of the list
        document = document.get("data", document.get("cameras"))
    if not isinstance(document, list):
        raise ValueError('the file must be a JSON array of cameras, or {"data": [...]}')  # noqa: TRY004
    return document


def _row(number: int, row: Any) -> ImportRow:
    if not isinstance(row, Mapping):
        return ImportRow(number, None, None, errors=(_error("row", "must be an object"),))
    if _MISFORMED in row:
        return ImportRow(number, None, None, errors=(_error("row", row[_MISFORMED]),))
    name = row["name"][:255] if isinstance(row.get("name"), str) else None
    group = row.get("group") or row.get("group_id")
    fields = {key: value for key, value in row.items() if key in _FIELDS}
    unknown = [_error(str(key)[:50], UNKNOWN_PARAMETER) for key in islice(row.keys() - _ROW_KEYS, MAX_REPORTED_ERRORS)]
    if group is not None and not isinstance(group, str):
        return ImportRow(number, name, None, errors=(_error("group", "must be the id or the slug of a group"),))
    try:
        camera = CameraRequest.model_validate(fields)
    except ValidationError as error:
        return ImportRow(number, name, None, errors=(*unknown, *field_errors(error.errors(include_url=False))))
    return ImportRow(number, name, None if unknown else camera, group, errors=tuple(unknown))


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return "" if value is None else value


def _error(parameter: str, message: str) -> FieldError:
    return FieldError(parameter=parameter, location="body", message=message)


_MISFORMED: Final = ""
"""Key of the reason why a line is no row: no column has an empty name."""
READ_ONLY_NAMES: Final = frozenset(name.lower() for name in READ_ONLY)
_FIELDS: Final = frozenset(CameraRequest.model_fields) - {"group_id"}
_ROW_KEYS: Final = _FIELDS | READ_ONLY | {"group", "group_id"}
