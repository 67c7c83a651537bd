"""The functions' artefacts are complete, minimal and compiled. Libraries are taken from the test environment."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_functions.api.http.docs_pages import packaged_assets
from cloud_functions.db.migrate import head_revision
from infra.packaging import build as building
from infra.packaging.build import build, main
from infra.packaging.functions import FUNCTIONS, FunctionCode, function_code
from shared.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
# The API's lock contains fastapi-offline, which an older environment lacks.
BUILDABLE = [name for name in FUNCTIONS if name != "api" or packaged_assets() is not None]
FOREIGN = {
    "migration": ["fastapi", "redis", "mangum", "cryptography"],
    "ingest": ["fastapi", "redis", "mangum"],
    "fanout": ["psycopg", "fastapi", "mangum"],
    "webhooks": ["fastapi", "redis", "mangum"],
    "websocket": ["fastapi", "redis", "mangum"],
    "api": ["redis"],
    "maintenance": ["fastapi", "redis", "mangum"],
}
NEVER = [
    "edge_agent",
    "cv2",
    "numpy",
    "av",
    "paho",
    "boto3",
    "botocore",
    "alembic",
    "sqlalchemy",
    "uvicorn",
    "confluent_kafka",
    "bin",
]

MIGRATING = {"migration": {"alembic", "sqlalchemy"}}
"""The one function with the migrations, and the libraries that only they need."""


@pytest.mark.parametrize("name", BUILDABLE)
def test_an_artefact_contains_exactly_what_its_handler_needs(name: str, tmp_path: Path) -> None:
    """The handler imports from the artefact alone; libraries of other functions are absent; modules are compiled."""
    folder = tmp_path / name
    build(name, folder, from_environment=True)
    script = (
        f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(folder)!r})\n"
        f"import {FUNCTIONS[name].handler} as module\n"
        f"assert module.__cached__.endswith('.pyc') and callable(module.handler)\n"
        f"assert module.__file__.startswith({str(folder)!r})\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    present = {path.name.split("-")[0] for path in folder.iterdir()}
    assert not present & {*NEVER, *FOREIGN[name]} - MIGRATING.get(name, set())
    assert {path.name for path in (folder / "cloud_functions").iterdir() if path.is_dir()} <= {
        "__pycache__",
        "db",
        "object_storage",
        "plates",
        "privacy",
        FUNCTIONS[name].handler.split(".")[1],
    }
    assert (folder / "cloud_functions/db/migrations").exists() == (name in MIGRATING)
    assert not (folder / "cloud_functions/ingest/kafka").exists()
    sources = [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]
    assert len(list(folder.rglob("*.pyc"))) >= len(sources)
    assert list(folder.rglob("*.pyi")) == []


def test_the_migrations_run_from_their_artefact(tmp_path: Path, empty_url: str) -> None:
    """It contains every revision, and every module that they import."""
    build("migration", tmp_path, from_environment=True)
    script = (
        f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from cloud_functions.migration.handler import build_migration\n"
        f"migration = build_migration({{'DATABASE_URL': sys.argv[1]}})\n"
        f"print(migration.handle({{}}, remaining_s=lambda: 900.0)['revision'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, empty_url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"{head_revision()}\n", 0), done.stderr


def test_the_locks_agree_with_the_cloud_lock() -> None:
    """A function uses the tested versions of its libraries."""

    def pins(path: str) -> dict[str, str]:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        return dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", text))

    tested = pins("requirements/cloud.txt")
    for code in FUNCTIONS.values():
        for name, version in pins(code.requirements).items():
            assert tested.get(name, version) == version, (code.requirements, name)


def test_an_environment_that_differs_from_the_lock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a package with another version or a missing one; packages for other platforms are ignored."""
    lock = tmp_path / "lock.txt"
    monkeypatch.setitem(FUNCTIONS, "odd", FunctionCode(handler="odd", requirements=str(lock), parts=()))
    lock.write_text("pydantic==0.0.1 \\\n    --hash=sha256:00\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"pydantic is locked at 0\.0\.1, but"):
        build("odd", tmp_path / "out", from_environment=True)
    lock.write_text("no-such-thing==1.0\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no-such-thing is locked for this function but not installed"):
        build("odd", tmp_path / "out", from_environment=True)
    lock.write_text("no-such-thing==1.0 ; sys_platform == 'win32' \\\n", encoding="utf-8")
    build("odd", tmp_path / "out", from_environment=True)


def test_an_unknown_function_lists_the_known_ones() -> None:
    """The error lists the choices."""
    with pytest.raises(ConfigurationError, match="migration, ingest, fanout, webhooks, websocket, api, maintenance"):
        function_code("nothing")


def test_a_failed_download_or_compilation_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a missing uv, an unreadable lock or a missing Python the command names the problem and exits with 1."""
    lock = tmp_path / "lock.txt"
    lock.write_text("this is not a requirement\n", encoding="utf-8")
    monkeypatch.setitem(FUNCTIONS, "odd", FunctionCode(handler="odd", requirements=str(lock), parts=()))
    monkeypatch.setattr(building, "PYTHON_VERSION", f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert main(["odd", str(tmp_path / "out")]) == 1
    assert "the libraries of odd could not be fetched" in capsys.readouterr().err
    monkeypatch.setattr(building, "PYTHON_VERSION", "3.99")
    assert main(["odd", str(tmp_path / "out")]) == 1
    assert "Python 3.99 is needed to compile for Lambda" in capsys.readouterr().err


def test_code_that_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    """A syntax error is found by the build and not on the first invocation."""
    (tmp_path / "broken.py").write_text("def (:\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="could not compile"):
        building._compile(tmp_path, sys.executable)


def test_the_command_builds(tmp_path: Path) -> None:
    """The build works with the command line of the Makefile."""
    assert main(["fanout", str(tmp_path / "out"), "--from-environment"]) == 0
    assert (tmp_path / "out/cloud_functions/fanout/handler.py").is_file()
