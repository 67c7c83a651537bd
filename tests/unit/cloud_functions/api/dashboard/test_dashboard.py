"""``/`` and the files of the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_functions.api.dashboard.routes import CONTENT_SECURITY_POLICY
from cloud_functions.api.dashboard.static_files import FOLDER, StaticFiles
from shared import __version__
from tests.support.api_calls import Answer, ApiCalls, http_api_event, lambda_api

_ROUTES = ("HttpApiRootRoute", "HttpApiRoute")
BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def api() -> Iterator[ApiCalls]:
    """A client of an application without a database, through the Lambda handler."""
    handler, dependencies = lambda_api()
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _page(api: ApiCalls) -> Answer:
    return api.call("GET", "/", headers=BROWSER)


def _files_of(page: Answer) -> list[str]:
    return re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.body.decode())


def test_a_browser_gets_the_dashboard(api: ApiCalls) -> None:
    """With the policy of the design, and every file that the page loads exists."""
    page = _page(api)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (
        page.headers["content-security-policy"]
        == CONTENT_SECURITY_POLICY
        == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
            "require-trusted-types-for 'script'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
        )
    )
    assert (page.headers["vary"], page.headers["cache-control"]) == ("Accept", "no-cache")
    assert page.headers["x-content-type-options"] == "nosniff"
    loaded = _files_of(page)
    assert len(loaded) >= 5
    assert {api.get(path).status for path in loaded} == {200}


def test_a_program_gets_the_name_of_the_service(api: ApiCalls) -> None:
    """``/`` is JSON for clients that do not ask for HTML."""
    answer = api.call("GET", "/", headers={"accept": "*/*"})
    assert (answer.status, answer.headers["vary"]) == (200, "Accept")
    assert answer.json() == {"service": "vedette", "version": __version__, "docs": "/docs", "health": "/health"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("views/app.js", "text/javascript; charset=utf-8"),
        ("styles/base.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_is_kept_for_ever_under_its_digest(api: ApiCalls, name: str, media_type: str) -> None:
    """It has the right type and an ``ETag``; under another digest it is asked for again."""
    address = next(path for path in _files_of(_page(api)) if path.endswith("/main.js")).removesuffix("main.js")
    answer = api.get(address + name)
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert answer.body == (FOLDER / name).read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    old = api.get(f"/assets/0000/{name}")
    assert (old.status, old.body, old.headers["cache-control"]) == (200, answer.body, "no-cache")
    known = api.call("GET", address + name, headers={"if-none-match": answer.headers["etag"]})
    assert (known.status, known.body) == (304, b"")


def test_the_page_is_revalidated(api: ApiCalls) -> None:
    """A browser that has the current page gets a 304."""
    answer = api.call("GET", "/", headers=BROWSER | {"if-none-match": _page(api).headers["etag"]})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["index.html", "api_types.d.ts", "nothing.js", "../app.py", "%2e%2e/app.py", "views", "views/", "/etc/passwd"],
)
def test_only_the_files_of_the_page_are_served(api: ApiCalls, name: str) -> None:
    """Other files in the folder, and files outside it, are a 404."""
    assert api.get(f"/assets/1/{name}").status == 404


def test_behind_a_stage_every_address_has_its_prefix() -> None:
    """A REST API removes its stage from the path; the page contains it."""
    handler, dependencies = lambda_api(root_path="/prod")
    page = ApiCalls(handler).invoke(http_api_event("GET", "/prod/", headers=BROWSER))
    text = page.body.decode()
    assert '<meta name="vedette-root" content="/prod">' in text
    assert re.findall(r'(?:src|href)="(?!/prod/)', text) == []
    handler.close()
    dependencies.close()


def test_the_gateway_routes_the_root_like_every_other_path() -> None:
    """The template has a route for ``/``, which ``{proxy+}`` does not match, with the same authorization."""
    template = (FOLDER.parents[2] / "template.yaml").read_text(encoding="utf-8")
    blocks = [re.search(rf"^  {name}:\n((?:    .*\n)+)", template, re.MULTILINE) for name in _ROUTES]
    root, other = (block[1] for block in blocks if block is not None)
    assert "RouteKey: ANY /\n" in root
    assert root.replace("ANY /", "ANY /{proxy+}") == other


def test_the_version_changes_with_any_file(tmp_path: Path) -> None:
    """A changed, new or renamed file gives another version; unserved kinds of files do not count."""
    (tmp_path / "a.js").write_text("1", encoding="utf-8")
    versions = [StaticFiles(tmp_path).version]
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert StaticFiles(tmp_path).version == versions[0]
    (tmp_path / "a.js").write_text("2", encoding="utf-8")
    versions.append(StaticFiles(tmp_path).version)
    (tmp_path / "a.js").rename(tmp_path / "b.js")
    versions.append(StaticFiles(tmp_path).version)
    assert len(set(versions)) == 3


def test_the_dashboard_is_small() -> None:
    """All files together stay below 200 KB, uncompressed: they are part of the API's artefact."""
    assert sum(len(file.content) for file in StaticFiles().files.values()) < 200_000
