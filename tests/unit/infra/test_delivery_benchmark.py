"""The delivery benchmark counts what is lost, stored twice and missed, and its network faults are what they claim."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.benchmarks.delivery.journal import ACKNOWLEDGED, CAPTURED, KEPT, REFUSED, Journal, JournalWriter
from tests.benchmarks.delivery.link import Link
from tests.benchmarks.delivery.outcome import Outcome, Stored, compare, lost_images, time_to_heal
from tests.benchmarks.delivery.page import LOAD_MARK, Run, page
from tests.benchmarks.delivery.runner import Load
from tests.benchmarks.delivery.samples import slope_per_minute
from tests.benchmarks.delivery.scenarios import SCENARIOS

DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of ``abc``."""


def _journal(folder: Path) -> Journal:
    """Three events were kept, one of them without PUBACK; one was cut off by a kill, and one refused."""
    writer = JournalWriter(folder / "journal.txt")
    for number, event_id in enumerate(("a", "b", "c", "cut-off", "refused")):
        detail = f"snapshots/d/a.jpg={DIGEST}" if event_id == "a" else ""
        writer.write(CAPTURED, event_id, at_s=100.0 + number, detail=detail)
    for event_id in "abc":
        writer.write(KEPT, event_id)
    writer.write(ACKNOWLEDGED, "a", at_s=100.5)
    writer.write(REFUSED, "refused")
    writer.close()
    with (folder / "journal.txt").open("a", encoding="ascii") as file:
        file.write("kept half-a-li")  # the process was killed while it wrote
    journal = Journal()
    journal.read(folder / "journal.txt")
    return journal


def test_lost_missed_and_repeated_events_are_counted(tmp_path: Path) -> None:
    """Events are lost or missed only if their put returned; a second receipt is a repeat."""
    outcome = Outcome("example")
    stored = Stored(rows={"a": 101.0, "b": 103.0, "cut-off": 104.0}, duplicates=1, open_gaps=0)
    received = {"redis": {"a": [102.0, 107.0], "b": [104.0], "of another device": [1.0]}, "webhook": {"a": [103.0]}}
    compare(outcome, _journal(tmp_path), stored, received)
    assert (outcome.sent, outcome.cut_off, outcome.refused) == (3, 1, 1)
    assert (outcome.stored, outcome.lost, outcome.duplicates) == (3, 1, 1)
    assert outcome.missed == {"redis": 1, "webhook": 2}
    assert outcome.repeated == {"redis": 1, "webhook": 0}
    assert outcome.latencies["webhook"] is not None
    assert outcome.latencies["webhook"].largest_s == pytest.approx(3.0)
    assert outcome.failed


def test_an_outcome_without_faults_has_not_failed() -> None:
    """An outcome fails with any loss, or when nothing was sent."""
    assert not Outcome("example", sent=1).failed
    assert Outcome("example", sent=0).failed
    assert Outcome("example", sent=1, missed={"redis": 1}).failed
    assert Outcome("example", sent=1, images_lost=1).failed


def test_an_image_with_other_content_is_lost(tmp_path: Path) -> None:
    """Images are compared by their SHA-256."""
    journal = _journal(tmp_path)
    image = tmp_path / "vedette-local" / "snapshots/d/a.jpg"
    assert lost_images(journal, tmp_path) == 1
    image.parent.mkdir(parents=True)
    image.write_bytes(b"abd")
    assert lost_images(journal, tmp_path) == 1
    image.write_bytes(b"abc")
    assert lost_images(journal, tmp_path) == 0


def test_time_to_heal_ends_with_the_last_event_from_before_the_end_of_the_fault(tmp_path: Path) -> None:
    """Events that were captured after the fault do not count."""
    journal = _journal(tmp_path)
    assert time_to_heal(journal, [{"a": 101.0, "b": 105.5, "c": 190.0}], 101.5) == pytest.approx(4.0)


def test_the_page_has_every_scenario_and_keeps_the_load_test() -> None:
    """A failed scenario is on the page with its error; the other command's section stays."""
    outcomes = [Outcome(scenario.name, sent=5, stored=5) for scenario in SCENARIOS[:-1]]
    outcomes.append(Outcome(SCENARIOS[-1].name, error="RuntimeError: it broke"))
    now = datetime(2026, 12, 1, tzinfo=UTC)
    run = Run("command", 0.5, now, now, Load(1, 1.0, 1.0, 1.0), SCENARIOS, outcomes)
    text = page(run, previous=f"old\n{LOAD_MARK}\n\n## Load test\n")
    assert all(f"| {scenario.name} |" in text for scenario in SCENARIOS)
    assert "**failed**: RuntimeError: it broke" in text
    assert f"**Failed: {SCENARIOS[-1].name}.**" in text
    assert text.endswith(f"{LOAD_MARK}\n\n## Load test\n")


def test_slope_per_minute() -> None:
    """A part that grows by 1 MiB each second grows by 60 MiB a minute."""
    assert slope_per_minute([(0, 10), (1, 11), (2, 12)]) == pytest.approx(60.0)
    assert slope_per_minute([(0, 10)]) == 0.0


@pytest.fixture
def echo() -> Iterator[tuple[Link, socket.socket]]:
    """A link, and the listening socket that it leads to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        link = Link(target=server.getsockname()[1])
        yield link, server
        link.close()


def _connected(link: Link, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", link.port), timeout=10)
    far, _ = server.accept()
    far.settimeout(10)
    near.sendall(b"x")  # when it has arrived, the link knows the connection
    assert far.recv(1) == b"x"
    return near, far


def test_a_silent_link_holds_everything_back(echo: tuple[Link, socket.socket]) -> None:
    """Nothing passes while the link is silent, and everything afterwards."""
    near, far = _connected(*echo)
    with near, far:
        echo[0].silent(True)
        near.sendall(b"held")
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(10)
        echo[0].heal()
        far.settimeout(10)
        assert far.recv(10) == b"held"


def test_a_half_open_connection_looks_alive_from_the_near_side(echo: tuple[Link, socket.socket]) -> None:
    """The far side is reset; the near side gets neither data nor an end."""
    near, far = _connected(*echo)
    with near, far:
        echo[0].half_open()
        with pytest.raises(ConnectionResetError):
            far.recv(10)
        near.sendall(b"into nowhere")
        near.settimeout(0.2)
        with pytest.raises(TimeoutError):
            near.recv(10)


def test_a_refusing_link_cuts_present_and_new_connections(echo: tuple[Link, socket.socket]) -> None:
    """Connections work again after the fault."""
    link, server = echo
    near, far = _connected(link, server)
    with near, far:
        link.refuse(True)
        with pytest.raises(ConnectionResetError):
            near.recv(10)
    with (
        pytest.raises(ConnectionResetError),  # at once, or at the first read
        socket.create_connection(("127.0.0.1", link.port), timeout=10) as refused,
    ):
        refused.recv(10)
    link.heal()
    near, far = _connected(link, server)
    with near, far:
        far.sendall(b"again")
        assert near.recv(10) == b"again"
