"""``docs/reference/documents.md`` has every line of the five documents, each with a proof, a decision or a plan."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from cloud_functions.api.app import create_app
from shared.events import AnprEvent, MotionEvent, TrackingEvent
from tests.support.api_calls import lambda_api

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/reference/documents.md"
DOCUMENTS: Final = ("Events and snapshots", "Snapshots on demand", "Redis pub/sub", "Camera management", "ALPR storage")

_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_STATE: Final = re.compile(r"(decision: \S.{10,}|planned \(`[a-z_/]+/`\).*)")
_METHODS: Final = "GET|POST|PUT|PATCH|DELETE"

ENDPOINTS: Final = """
GET /api/events
GET /api/events/stats
GET /api/events/{event_id}
GET /api/events/{event_id}/snapshot
DELETE /api/events/{event_id}
POST /api/snapshots/capture/{device_id}
GET /api/snapshots/{snapshot_id}
GET /api/snapshots/{snapshot_id}/image
GET /api/snapshots/device/{device_id}
GET /api/snapshots/device/{device_id}/latest
GET /api/snapshots/
DELETE /api/snapshots/{snapshot_id}
GET /api/health
POST /api/auth/login-json
GET /api/devices/
GET /
GET /api/v1/cameras
POST /api/v1/cameras
GET /api/v1/cameras/{id}
PUT /api/v1/cameras/{id}
DELETE /api/v1/cameras/{id}
PATCH /api/v1/cameras/{id}/state
POST /api/v1/cameras/{id}/test-connection
POST /api/v1/cameras/{id}/snapshot
GET /api/v1/cameras/summary
POST /api/v1/cameras/import
GET /api/v1/cameras/export
GET /api/v1/cameras/groups
POST /api/v1/cameras/groups
PUT /api/v1/cameras/groups/{id}
DELETE /api/v1/cameras/groups/{id}
POST /api/v1/auth/login
GET /health
GET /stats
GET /events/recent
GET /events/{event_id}
GET /events/plate/{plate_text}
GET /events/camera/{camera_id}
""".strip().splitlines()  # fmt: skip
"""The endpoints that the documents name."""

VARIABLES: Final = (
    "DATABASE_URL", "SNAPSHOTS_DIR", "ENABLE_SNAPSHOTS", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_CHANNEL_NAME",
    "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND",
)  # fmt: skip
"""The environment variables that the documents name."""

SETTINGS: Final = (
    "cloud_functions/settings.py", "edge_agent/config/load.py", "infra/local/processes/stack_options.py",
)  # fmt: skip
"""The modules that read the environment variables."""

PARAMETERS: Final = (
    ("GET /api/events", {"camera_id": None, "event_type": None, "start_time": None, "end_time": None}),
    ("GET /api/events", {"page": 1, "page_size": 50}),
    ("GET /api/events/stats", {"camera_id": None, "start_time": None, "end_time": None}),
    ("DELETE /api/events/{event_id}", {"delete_snapshot": False}),
    ("GET /api/snapshots/", {"page": 1, "per_page": 10, "device_id": None}),
    ("GET /api/snapshots/device/{device_id}", {"page": 1, "per_page": 10}),
    ("GET /api/v1/cameras", {"page": 1, "page_size": 20, "active_only": False}),
    ("GET /api/v1/cameras/export", {"group_id": None, "include_credentials": False}),
    ("GET /events/recent", {"limit": 100}),
    ("GET /events/plate/{plate_text}", {"limit": 100, "offset": 0}),
    ("GET /events/camera/{camera_id}", {"start_time": None, "end_time": None, "limit": 100}),
)
"""Query parameters with their documented defaults; None is no default."""

_EVENT: Final = "id event_type camera_id timestamp frame_number snapshot_path event_data created_at"
FIELDS: Final = {
    "GET /api/events": "events total page page_size has_more",
    "GET /api/events/stats": "total_events events_by_type events_by_camera date_range",
    "GET /api/events/{event_id}": _EVENT,
    "DELETE /api/events/{event_id}": "message snapshot_deleted",
    "GET /stats": "is_connected total_events unique_plates active_cameras avg_confidence avg_latency_ms",
    "GET /events/{event_id}": (
        "event_id captured_at camera_id track_id plate_text plate_normalized_text plate_confidence plate_region"
        " vehicle_type vehicle_make vehicle_model vehicle_color plate_image_url vehicle_image_url frame_image_url"
        " latency_ms quality_score frame_number site_id host_id roi direction created_at"
    ),
}
"""The documented fields of responses."""

EVENT_DATA: Final = {
    TrackingEvent: {
        "track_id": 15,
        "tracking_action": "entered",
        "class_name": "person",
        "confidence": 0.95,
        "bounding_box": {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4},
        "dwell_time_seconds": None,
        "model_info": {"model_type": "YOLOv8", "version": "yolov8n.pt"},
    },
    MotionEvent: {"motion_intensity": 0.75, "affected_area_percentage": 15.5},
    AnprEvent: {"anpr_result": {"license_plate": "ABC123", "confidence": 0.92, "region": "us"}},
}
"""``event_data`` with the documented fields."""

PERMISSIONS: Final = {
    "GET /api/v1/cameras": "cameras:read",
    "POST /api/v1/cameras": "cameras:write",
    "PUT /api/v1/cameras/{id}": "cameras:write",
    "DELETE /api/v1/cameras/{id}": "cameras:write",
    "GET /api/v1/cameras/export": "cameras:read",
    "POST /api/v1/cameras/import": "cameras:write",
    "POST /api/v1/cameras/{id}/test-connection": "cameras:read",
    "POST /api/v1/cameras/{id}/snapshot": "cameras:read",
}


class Line(NamedTuple):
    """One row of the page."""

    document: str
    section: str
    text: str
    state: str

    @property
    def planned(self) -> bool:
        return self.state.startswith("planned")


@cache
def lines() -> tuple[Line, ...]:
    """Return every row of the page."""
    found: list[Line] = []
    document = section = ""
    for text in PAGE.read_text(encoding="utf-8").splitlines():
        if text.startswith("## "):
            document = text[3:]
        elif text.startswith("### "):
            section = text[4:]
        elif (row := re.fullmatch(r"\| (.+?) \| (.*?) ?\|", text)) and row[1] not in ("line", "---"):
            found.append(Line(document, section, row[1], row[2]))
    return tuple(found)


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _normal(endpoint: str) -> str:
    """Return an endpoint in the form in which spellings of one route are equal."""
    method, path = endpoint.split(" ")
    path = path.replace("/api/v1/", "/api/", 1).rstrip("/") or "/"
    return f"{method} {re.sub(r'{[^}]+}', '{}', '/api/health' if path == '/health' else path)}"


@cache
def _operations() -> dict[str, dict[str, Any]]:
    """Return the operations of the OpenAPI document by endpoint."""
    handler, dependencies = lambda_api()
    document = create_app(dependencies=dependencies).openapi()
    handler.close()
    schemas = document["components"]["schemas"]
    return {
        _normal(f"{method.upper()} {path}"): operation | {"schemas": schemas}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def _endpoints_of(line: Line) -> list[str]:
    return [f"{method} {path}" for method, path in re.findall(rf"`({_METHODS}) (/[^`?]*)`", line.text)]


def test_the_page_has_the_five_documents() -> None:
    """Each document has a section, and no line stands twice under one heading."""
    assert tuple(dict.fromkeys(line.document for line in lines())) == DOCUMENTS
    assert len(lines()) > 250
    assert len({line[:3] for line in lines()}) == len(lines())


def test_every_line_has_a_proof_a_decision_or_a_plan() -> None:
    """A line without one says nothing about whether it holds."""
    assert [line for line in lines() if not _TEST.search(line.state) and not _STATE.match(line.state)] == []


def test_the_search_finds_lines_without_a_state() -> None:
    """Empty words are no decision, and a plan names the folder it belongs in."""
    for state in ("", "yes", "decision:", "decision: no", "planned", "planned (soon)", "tests/a.py::test_b"):
        assert not _TEST.search(state)
        assert not _STATE.match(state)


def test_every_named_test_exists() -> None:
    """The tests of the page are found by file and name."""
    named = {(path, name) for line in lines() for path, name in _TEST.findall(line.state)}
    assert len(named) > 80
    missing = sorted(f"{path}::{name}" for path, name in named if not (ROOT / path).is_file())
    missing += sorted(
        f"{path}::{name}" for path, name in named if (ROOT / path).is_file() and name not in _tests_of(path)
    )
    assert missing == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_documented_endpoint_is_on_the_page(endpoint: str) -> None:
    """It has a line of its own, which is a route of the API unless it is planned."""
    found = [line for line in lines() if endpoint in _endpoints_of(line) and "ndpoints" in line.section]
    assert found, f"add a line for {endpoint} to docs/reference/documents.md"
    if not any(line.planned for line in found) and endpoint != "GET /":
        assert _normal(endpoint) in _operations(), f"{endpoint} is no route of the API: its line must say planned"


def test_every_endpoint_of_the_page_is_a_documented_one() -> None:
    """The list in this test and the page name the same endpoints."""
    named = {endpoint for line in lines() if "ndpoints" in line.section for endpoint in _endpoints_of(line)}
    assert named - set(ENDPOINTS) == set()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_documented_variable_is_on_the_page(name: str) -> None:
    """If the settings read it, a test proves it; otherwise a decision names what takes its place."""
    found = [line for line in lines() if f"`{name}`" in line.text and "ariables" in line.section]
    assert found, f"add a line for {name} to docs/reference/documents.md"
    settings = "".join((ROOT / path).read_text(encoding="utf-8") for path in SETTINGS)
    read = re.search(rf'env(?:ironment)?\.\w+\(\s*"{name}"', settings)
    assert [line for line in found if line.state.startswith("decision") == bool(read)] == []


@pytest.mark.parametrize(("endpoint", "defaults"), PARAMETERS)
def test_documented_parameters(endpoint: str, defaults: dict[str, Any]) -> None:
    """Each documented parameter is optional and has the documented default."""
    parameters = {one["name"]: one for one in _operations()[_normal(endpoint)]["parameters"] if one["in"] == "query"}
    assert {name: parameters[name]["schema"].get("default") for name in defaults} == defaults
    assert [name for name in defaults if parameters[name]["required"]] == []
    if "page_size" in defaults and endpoint.endswith("events"):
        assert parameters["page_size"]["schema"]["maximum"] == 500


@pytest.mark.parametrize("endpoint", FIELDS)
def test_documented_fields(endpoint: str) -> None:
    """The response model requires each documented field; integration tests check responses against the models."""
    operation = _operations()[_normal(endpoint)]
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    model = operation["schemas"][reference.rsplit("/", 1)[1]]
    assert set(FIELDS[endpoint].split()) - set(model["required"]) == set()


@pytest.mark.parametrize("event_class", EVENT_DATA)
def test_documented_event_data(event_class: Any) -> None:
    """The contract has each documented field under its name."""
    data_class = event_class.model_fields["event_data"].annotation
    known = set(data_class.model_fields)
    assert set(EVENT_DATA[event_class]) - known == set()
    for name, value in EVENT_DATA[event_class].items():
        if isinstance(value, dict):
            nested = next(one for one in _models_of(data_class.model_fields[name].annotation))
            assert set(value) - set(nested.model_fields) == set()


def _models_of(annotation: Any) -> list[Any]:
    parts = [annotation, *getattr(annotation, "__args__", ())]
    return [part for part in parts if hasattr(part, "model_fields")]


@pytest.mark.parametrize("endpoint", PERMISSIONS)
def test_documented_permissions(endpoint: str) -> None:
    """The route asks for the documented permission."""
    assert _operations()[_normal(endpoint)]["x-permission"] == PERMISSIONS[endpoint]
