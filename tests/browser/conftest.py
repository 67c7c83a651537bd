"""Fixtures for tests that look at the dashboard in the system's Chromium. Without Chromium they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_TIMEOUT_MS: Final = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window.

    Playwright's event loop runs in this thread until it is stopped. It must not outlive the module: no other test of
    this worker could run a loop.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs a browser: no Chromium or Chrome on PATH (Debian: apt install chromium)")
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page, and what must not happen on it."""

    page: Page
    origin: str
    violations: list[str] = field(default_factory=list)
    """Violations of the Content-Security-Policy, errors of scripts, and requests to elsewhere."""

    def open(self, fragment: str = "") -> Page:
        """Open the dashboard at this fragment."""
        self.page.goto(f"{self.origin}/{fragment}")
        return self.page


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """A function that opens a page of an origin in a new context; at the end no page may have a violation."""
    visits: list[Visit] = []

    def begin(origin: str, **options: Any) -> Visit:
        context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce", **options)
        context.set_default_timeout(_TIMEOUT_MS)
        visit = Visit(context.new_page(), origin)
        _watch(visit)
        visits.append(visit)
        return visit

    yield begin
    for visit in visits:
        visit.page.context.close()
    assert [violation for visit in visits for violation in visit.violations] == []


def _watch(visit: Visit) -> None:
    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{visit.origin}/", "blob:")):
            visit.violations.append(f"request to {request.url}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            visit.violations.append(message.text)

    visit.page.on("request", on_request)
    visit.page.on("console", on_console)
    visit.page.on("pageerror", lambda error: visit.violations.append(str(error)))
