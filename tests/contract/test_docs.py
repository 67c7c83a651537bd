"""Pages agree with the source tree: links resolve, named modules exist, each alarm is explained."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
_LINK: Final = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_ANCHOR: Final = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_PATH: Final = re.compile(r"`([a-z_/]+(?:\.py|\.md|\.yaml|/))`")


def _pages() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _relative_links(text: str) -> Iterator[str]:
    yield from (target for target in _LINK.findall(text) if "://" not in target and not target.startswith("mailto:"))


@pytest.mark.parametrize("page", _pages())
def test_relative_links_resolve(page: str) -> None:
    """Every relative link leads to an existing file or folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    folder = (ROOT / page).parent
    assert [target for target in _relative_links(text) if not (folder / target).exists()] == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _pages())
def test_anchors_resolve(page: str) -> None:
    """The part of a link after ``#`` is a heading of the page that the link leads to."""
    path = ROOT / page
    links = [(name, anchor) for name, anchor in _ANCHOR.findall(path.read_text(encoding="utf-8")) if "://" not in name]
    targets = [(path.parent / name if name else path, anchor) for name, anchor in links]
    missing = [f"{target}#{anchor}" for target, anchor in targets if anchor not in _anchors(target)]
    assert missing == []


def test_the_life_of_an_event_names_existing_modules() -> None:
    """Each path on the page exists, in the edge agent or the cloud functions where it is relative to one of them."""
    text = (ROOT / "docs/design/life-of-an-event.md").read_text(encoding="utf-8")
    paths = set(_PATH.findall(text))
    assert len(paths) > 25
    bases = (ROOT, ROOT / "edge_agent", ROOT / "cloud_functions")
    # `file.py` after `camera/ip_camera.py` is in the same folder.
    known = {path.name for base in bases[1:] for path in base.rglob("*.py")} | {"test_gaps.py"}
    missing = {path for path in paths if not any((base / path).exists() for base in bases) and path not in known}
    assert missing == set()


def _searches() -> list[tuple[str, str, str]]:
    """Return term, folder and file of each row of CONTRIBUTING's table of questions."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"^\| [^|]+\? \| `([^`]+)` \| `([^`]+/)` \| `([^`]+\.py)` \|$", page, re.MULTILINE)


def test_there_are_questions_of_newcomers() -> None:
    """The table is found, so the test below has rows to check."""
    assert len(_searches()) >= 10


@pytest.mark.parametrize(("term", "folder", "file"), _searches())
def test_a_search_for_the_term_finds_the_file(term: str, folder: str, file: str) -> None:
    """``git grep -il TERM FOLDER`` lists the file that CONTRIBUTING names, among at most ten modules."""
    command = ["git", "grep", "-Iil", "--fixed-strings", term, "--", f"{folder}*.py"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert file in found
    assert len(found) <= 10


def test_every_alarm_is_explained() -> None:
    """The operations guide has a heading for exactly the alarms of the template, each with three things to look at."""
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    alarms = set(re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", template, re.MULTILINE))
    guide = (ROOT / "docs/guide/operations.md").read_text(encoding="utf-8")
    sections = re.split(r"^##+ ", guide, flags=re.MULTILINE)
    explained = {match[1]: text for text in sections if (match := re.match(r"`(\w+Alarm)`\n\n\w", text))}
    assert set(explained) == alarms
    short = [name for name, text in explained.items() if not re.search(r"^1\. .*\n2\. .*\n3\. ", text, re.MULTILINE)]
    assert short == []


def test_the_glossary_is_linked_and_without_duplicates() -> None:
    """README, the documentation's index and CONTRIBUTING link to it, and each term is defined once."""
    for page in ("README.md", "docs/README.md", "CONTRIBUTING.md"):
        assert "glossary.md" in (ROOT / page).read_text(encoding="utf-8"), page
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [
        term.strip().lower()
        for row in re.findall(r"^\| ([^|]+) \| [A-Z]", glossary, re.MULTILINE)
        for term in row.split(",")
    ]
    assert len(terms) > 50
    assert len(terms) == len(set(terms))


_SHELL: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in _pages() if page.startswith(("README", "docs/guide/"))])
def test_commands_use_only_variables_that_the_page_sets(page: str) -> None:
    """A reader who copies the commands of a page has the value of each variable, or is shown where it comes from."""
    commands = "".join(_SHELL.findall((ROOT / page).read_text(encoding="utf-8")))
    assigned = set(re.findall(r"\b([A-Z][A-Z_]*)=", commands))
    expanded = re.findall(r"(?<!\\)\$\{?([A-Z][A-Z_]*)", re.sub(r"(?<=\s)#.*", "", commands))
    assert sorted(set(expanded) - assigned) == []
