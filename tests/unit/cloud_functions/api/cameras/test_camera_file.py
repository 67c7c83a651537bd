"""Files of cameras: which rows they have, and what is wrong with them."""

from __future__ import annotations

import json
import unicodedata
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.cameras.camera_file import COLUMNS, MAX_ROWS, csv_file, read_rows

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=40
).map(partial(unicodedata.normalize, "NFC"))
HEAD = "name,rtsp_url"


def _rows(text: str, file_format: str = "csv") -> list[Any]:
    return read_rows(text.encode(), file_format)


@pytest.mark.parametrize(
    "text",
    [
        'name,rtsp_url,is_active,fps,settings\nGate,rtsp://camera/1,no,25,"{""mode"": ""motion""}"\n',
        '\ufeffname;rtsp_url;is_active;fps;settings\r\nGate;rtsp://camera/1;FALSE;25;"{""mode"": ""motion""}"',
        "id,status,createdAt,Name, RTSP_URL ,is_active,fps,settings\n"
        '1,live,now, Gate ,rtsp://camera/1,0,25,"{""mode"": ""motion""}"\n\n , ,,,,,,\n',
    ],
)
def test_a_spreadsheet_s_file_is_read(text: str) -> None:
    """With commas or semicolons, a byte order mark, empty lines, read-only columns, and any spelling of booleans."""
    [row] = _rows(text)
    assert row.errors == ()
    assert (row.number, row.name, row.camera.name, row.camera.rtsp_url) == (1, "Gate", "Gate", "rtsp://camera/1")
    assert (row.camera.is_active, row.camera.fps, row.camera.settings.mode) == (False, 25.0, "motion")
    assert row.camera.enable_detection is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("name", "no column rtsp_url"),
        ("rtsp_url,nam", "unknown columns"),
        (f"{HEAD},name", "a column twice"),
        (f"{HEAD},", "unknown columns"),
        (f'{HEAD}\n"Gate', "not valid CSV"),
        (f'{HEAD}\n"Ga"te,x', "not valid CSV"),
        (HEAD + "\na,b" * (MAX_ROWS + 1), "more than"),
    ],
)
def test_a_file_that_is_no_list_of_cameras_is_rejected(text: str, reason: str) -> None:
    """As a whole, before any row is used."""
    with pytest.raises(ValueError, match=reason):
        _rows(text)


@pytest.mark.parametrize("text", ["{", "1", '{"cameras": 1}', "null", "[" * 100_000])
def test_json_that_is_no_list_is_rejected(text: str) -> None:
    """Objects with a list under `data` or `cameras` are accepted, nothing else."""
    with pytest.raises(ValueError, match=r"JSON"):
        _rows(text, "json")


def test_text_in_another_encoding_is_rejected() -> None:
    """Names would come out wrong."""
    with pytest.raises(ValueError, match="UTF-8"):
        read_rows(f"{HEAD}\nGartentür,rtsp://camera/1".encode("latin-1"), "csv")


@pytest.mark.parametrize(
    ("row", "parameter"),
    [
        (",rtsp://camera/1,", "name"),
        ("Gate,,", "rtsp_url"),
        ("Gate,ftp://s3same@camera/1,", "rtsp_url"),
        ("Gate,rtsp://camera/1,maybe", "is_active"),
        ("Gate,rtsp://camera/1,yes,more", "row"),
        ("Gate", "row"),
    ],
)
def test_an_invalid_row_does_not_affect_its_neighbours(row: str, parameter: str) -> None:
    """Its error names the column, without the value; the next row is read."""
    bad, good = _rows(f"{HEAD},is_active\n{row}\nHall,rtsp://camera/2,yes")
    assert bad.camera is None
    assert [error["parameter"] for error in bad.errors] == [parameter]
    assert "s3same" not in str(bad.errors)
    assert (good.number, good.camera.name) == (2, "Hall")


@given(st.lists(st.tuples(NAMES, NAMES, st.booleans()), max_size=8), st.sampled_from(["csv", "json"]))
def test_a_written_file_is_read_as_it_was_written(given: list[tuple[str, str, bool]], file_format: str) -> None:
    """Any name and location, formulas included, comes back."""
    rows = [
        {"name": name, "rtsp_url": "rtsp://camera/1", "location": location, "is_active": is_active, "settings": {}}
        for name, location, is_active in given
    ]
    text = csv_file(rows, COLUMNS) if file_format == "csv" else json.dumps({"data": rows})
    read = [row.camera for row in _rows(text, file_format)]
    assert [(camera.name, camera.location, camera.is_active) for camera in read] == given


@given(st.binary(max_size=300), st.sampled_from(["csv", "json"]))
def test_any_bytes_are_rows_or_an_error(content: bytes, file_format: str) -> None:
    """There is no other outcome."""
    try:
        rows = read_rows(content, file_format)
    except ValueError:
        return
    assert all(row.camera is not None or row.errors for row in rows)


@given(st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=4), max_size=5))
def test_any_cells_are_rows_or_errors(lines: list[list[str]]) -> None:
    """Each line below valid column names becomes a camera or an error of its own."""
    text = csv_file([{}], ["name", "rtsp_url", "password", "settings"])
    text += "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)
    try:
        rows = read_rows(text.encode("utf-8", "replace"), "csv")
    except ValueError:
        return
    assert all((row.camera is None) == bool(row.errors) for row in rows)


def test_a_row_reports_some_of_its_unknown_fields() -> None:
    """With its other errors, and without a report for each of a hundred thousand."""
    unknown = {f"k{number}": 1 for number in range(100_000)}
    [row] = _rows(json.dumps([{"name": "a", "rtsp_url": "gst:x", **unknown}]), "json")
    assert row.camera is None
    reported = [error["parameter"] for error in row.errors if error["message"] == "unknown parameter"]
    assert len(reported) == 20
    assert set(reported) <= unknown.keys()
    assert [error["parameter"] for error in row.errors if error["parameter"] not in reported] == ["rtsp_url"]
    [row] = _rows('[{"name": "a", "rtsp_url": "synthetic:gate", "colour": "red"}]', "json")
    assert (row.camera, [error["parameter"] for error in row.errors]) == (None, ["colour"])


def test_a_file_with_half_a_character_is_rejected() -> None:
    """JSON can name one, and the report on the row could not be sent."""
    with pytest.raises(ValueError, match="not valid JSON"):
        read_rows(b'[{"name": "\\ud800", "rtsp_url": "synthetic:gate"}]', "json")
