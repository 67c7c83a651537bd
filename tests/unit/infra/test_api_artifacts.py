"""The client's types and the Postman collection agree with the OpenAPI document."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import vedette.client.types as client_types
from infra.api_artifacts.__main__ import FILES, ROOT, openapi_document
from infra.api_artifacts.postman import postman_collection
from infra.api_artifacts.python_types import python_types


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    return openapi_document()


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_current(name: str, document: Mapping[str, Any]) -> None:
    """``make schemas`` was run after the last change of a route."""
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](document), "run: make schemas"


def test_every_schema_has_a_type_with_its_fields(document: Mapping[str, Any]) -> None:
    """Required fields are required; references lead to classes of the module."""
    schemas = document["components"]["schemas"]
    for name in ("EventResponse", "CameraResponse", "FoundPlateResponse", "MeResponse", "ImportResponse"):
        found = getattr(client_types, name)
        hints = typing.get_type_hints(found, include_extras=True)
        assert set(hints) == set(schemas[name]["properties"])
        optional = {field for field, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
        assert set(hints) - optional == set(schemas[name].get("required", ()))
    assert python_types(document).count("(TypedDict):") == sum("properties" in schema for schema in schemas.values())


def _requests(document: Mapping[str, Any]) -> dict[str, Any]:
    collection = postman_collection(document)
    return {item["id"]: item for folder in collection["item"] for item in folder["item"]}


def test_the_collection_has_each_operation_once(document: Mapping[str, Any]) -> None:
    """With its method, its path, its query parameters switched off, and a body that is JSON."""
    requests = _requests(document)
    operations = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(requests) == set(operations)
    for name, (path, method, operation) in operations.items():
        request = requests[name]["request"]
        assert request["method"] == method.upper()
        assert request["url"]["raw"] == "{{baseUrl}}" + re.sub(r"{([^}]+)}", r":\1", path)
        assert "/" + "/".join(request["url"]["path"]) == re.sub(r"{([^}]+)}", r":\1", path)
        placeholders = {one["key"] for one in request["url"].get("variable", ())}
        assert placeholders == set(re.findall(r"{([^}]+)}", path))
        query = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        assert {one["key"] for one in request["url"].get("query", ())} == query
        assert all(one["disabled"] for one in request["url"].get("query", ()))
        if "body" in request:
            json.loads(request["body"]["raw"])
        assert ("x-permission" in operation) == ("auth" not in request)


def test_the_collection_is_one_of_version_2_1_without_secrets(document: Mapping[str, Any]) -> None:
    """Postman recognises it by the address of its schema; the token is set by the log-in."""
    collection = postman_collection(document)
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert {one["key"]: one["value"] for one in collection["variable"]} == {
        "baseUrl": "http://localhost:8069",
        "token": "",
    }
    script = " ".join(_requests(document)["login_json"]["event"][0]["script"]["exec"])
    assert "set('token', tokens.access_token)" in script
    assert {folder["name"] for folder in collection["item"]} <= {tag["name"] for tag in document["tags"]}


def test_the_wheel_has_the_client_under_its_name(tmp_path: Path) -> None:
    """``vedette.client``, once, and with its marker of types."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert names.count("vedette/client/client.py") == 1
    assert "vedette/py.typed" in names
    assert [name for name in names if name.startswith("infra/client")] == []


def test_the_document_names_every_way_to_be_known(document: Mapping[str, Any]) -> None:
    """Access token or key, key in its header, and the session cookie, in each operation that needs a permission."""
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme.get("in") for name, scheme in schemes.items()} == {
        "bearer": None,
        "apiKey": "header",
        "session": "cookie",
    }
    assert schemes["session"]["name"] == "__Host-vedette"
    for operation in (one for path in document["paths"].values() for one in path.values()):
        given = {name for scheme in operation.get("security", ()) for name in scheme}
        assert given == (set(schemes) if "x-permission" in operation else set()), operation["operationId"]
