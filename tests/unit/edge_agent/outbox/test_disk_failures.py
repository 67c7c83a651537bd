"""Full disks, damaged files and killed processes."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox, OutboxFullError
from edge_agent.outbox.disk import Reserve
from shared.errors import ConfigurationError
from tests.support.edge.outbox_builders import motion_event, tracking_event, with_image

OpenOutbox = Callable[..., Outbox]


def fill(outbox: Outbox, count: int, size: int = 20_000) -> None:
    for _ in range(count):
        outbox.put(with_image(tracking_event("updated")), snapshot=b"i" * size)


def test_edge_37_a_full_disk_evicts_the_least_important_data(
    open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """When the file cannot grow, old images are dropped and the new event is stored; the reason is logged."""
    outbox = open_outbox(max_file_bytes=512 * 1024)
    fill(outbox, 40)
    health = outbox.health()
    assert health.last_sequence == health.pending_events + health.dropped_events == 40
    assert health.dropped_images > 0
    assert "is full; dropping the" in caplog.text


def test_edge_37_an_event_larger_than_the_disk_is_dropped_and_counted(open_outbox: OpenOutbox) -> None:
    """The caller gets an error, and the sequence is reported as dropped."""
    outbox = open_outbox(max_file_bytes=256 * 1024)
    outbox.put(tracking_event())
    with pytest.raises(OutboxFullError, match=r"cannot write to the outbox .*outbox\.db"):
        outbox.put(with_image(tracking_event()), snapshot=b"i" * 400_000)
    assert outbox.health().dropped_events == 2  # the first event was evicted for it
    assert outbox.put(tracking_event()).sequence == 3
    assert outbox.health().dropped_ranges == [(1, 2)]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edge_agent.outbox import *
from tests.support.edge.outbox_builders import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
outbox = Outbox(Path(sys.argv[1]) / "outbox.db", settings=OutboxSettings(reserve_bytes=0, min_free_bytes=0))
outbox.put(tracking_event())
first = outbox.events.take(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
refused = 0
for _ in range(30):
    try:
        outbox.put(with_image(tracking_event()), snapshot=b"i" * 20_000)
    except OutboxFullError:
        refused += 1
assert refused == 30
outbox.events.ack(first)
assert outbox.events.unwritten == 1
assert outbox.events.take(100) == [], "an acknowledged event would be sent again"
assert outbox.health().dropped_events == 30
try:
    outbox.resend(outbox.epoch, [(1, 1)])
except Exception as error:
    assert "cannot write to the outbox" in str(error)
else:
    raise AssertionError("the resend should have failed")

resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
last = outbox.put(tracking_event()).sequence
outbox.expire()
health = outbox.health()
assert outbox.events.unwritten == 0
assert last == health.last_sequence == 32
assert (health.dropped_events, health.dropped_ranges) == (30, [(2, 31)])
assert [item.key for item in outbox.events.take(100)] == [32]
print("ok")
"""


def test_edge_37_puts_fail_and_recover_with_a_full_disk(tmp_path: Path) -> None:
    """Puts fail with an error and are counted; acknowledged events are not sent again; later puts succeed.

    A file size limit in a child process simulates the full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "ok\n", done.stderr
    assert done.stderr.count("accepts no more events") == 1


TINY_DISK = """
import sys
from pathlib import Path
from edge_agent.outbox import *
from tests.support.edge.outbox_builders import *
folder = Path(sys.argv[1])
outbox = Outbox(folder / "outbox.db", settings=OutboxSettings(min_free_bytes=0, reserve_bytes=4 << 20))
for number in range(250):
    event = with_image(tracking_event("updated" if number % 2 else "entered"))
    assert outbox.put(event, snapshot=b"i" * 60_000).sequence == number + 1
with (folder / "other").open("wb", buffering=0) as other:
    try:
        while other.write(bytes(4096)) == 4096:
            pass
    except OSError:
        pass
for number in range(50):
    outbox.put(with_image(tracking_event()), snapshot=b"i" * 60_000)
health = outbox.health()
assert health.dropped_images > 0
assert health.pending_events + health.dropped_events == health.last_sequence == 300
outbox.close()
assert Outbox(folder / "outbox.db").health().pending_events == health.pending_events
print("ok")
"""


def test_edge_37_every_put_succeeds_on_a_full_file_system(tmp_path: Path) -> None:
    """On a real, full 12 MB file system, old images are dropped and every put succeeds."""
    namespace = ["unshare", "--mount", "--map-root-user"]
    tiny = f"mount -t tmpfs -o size=12m tmpfs {tmp_path} && exec {sys.executable} -c '{TINY_DISK}' {tmp_path}"
    try:
        possible = subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:  # without namespaces, limit the size of the file instead
        limited = TINY_DISK.replace("reserve_bytes=4 << 20", "reserve_bytes=0, max_file_bytes=8 << 20")
        command = [sys.executable, "-c", limited.replace("other.write(bytes(4096)) == 4096", "False"), tmp_path]
    else:
        command = [*namespace, "bash", "-c", tiny]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ok\n", done.stderr


def test_edge_37_the_file_stops_growing_when_free_space_is_short(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """Above 16 MiB the outbox drops data instead of growing."""
    outbox = open_outbox(min_free_bytes=2**60)
    fill(outbox, 150, size=200_000)
    assert outbox.health().last_sequence == 150
    assert outbox.health().dropped_images > 50
    assert (tmp_path / "outbox.db").stat().st_size <= 16 * 1024 * 1024


@pytest.mark.parametrize("damage", ["not a database at all", "torn page"])
def test_edge_37_a_damaged_file_is_quarantined_at_start(
    tmp_path: Path, open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """The agent starts a new epoch, logs the damage, and keeps the damaged file."""
    first = open_outbox()
    fill(first, 20)
    epoch = first.epoch
    first.close()
    path = tmp_path / "outbox.db"
    if damage == "torn page":
        with path.open("r+b") as file:
            for page in range(1, 12):
                file.seek(page * 4096)
                file.write(os.urandom(4096))
    else:
        path.write_bytes(b"this is no database" * 1000)
    again = open_outbox()
    assert again.epoch != epoch
    assert again.put(motion_event()).sequence == 1
    assert len(list(tmp_path.glob("outbox.db.damaged-*"))) == 1
    assert "is damaged" in caplog.text
    assert "new sequence epoch" in caplog.text


def test_edge_37_damage_while_running_loses_no_put(
    tmp_path: Path, open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """After damage on the disk, the next put is stored in a new file."""
    outbox = open_outbox()
    fill(outbox, 20)
    old = outbox.events.take(2)
    damage(tmp_path / "outbox.db")
    numbers = [outbox.put(motion_event()).sequence for _ in range(3)]
    assert numbers == [1, 2, 3]
    outbox.events.ack(old)  # items of the old file are ignored
    assert [item.key for item in outbox.events.take(9)] == [1, 2, 3]
    assert "is damaged" in caplog.text


def test_edge_37_damage_detected_by_take_replaces_the_file(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """The sender gets no items, and the new file works for put and take."""
    outbox = open_outbox()
    fill(outbox, 20)
    damage(tmp_path / "outbox.db")
    assert outbox.images.take(5) == []
    assert outbox.put(motion_event()).sequence == 1
    assert len(outbox.events.take(5)) == 1


def test_edge_37_damage_detected_by_ack_replaces_the_file(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """An acknowledgement in a damaged file starts a new file and raises nothing."""
    outbox = open_outbox()
    fill(outbox, 20)
    items = outbox.events.take(5)
    damage(tmp_path / "outbox.db")
    outbox.events.ack(items)
    assert outbox.put(motion_event()).sequence == 1


def damage(path: Path) -> None:
    """Overwrite every page of a database in use."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for offset in range(0, size, 4096):
            file.seek(offset)
            file.write(b"\xa5" * 4096)


def test_edge_37_only_the_latest_damaged_file_is_kept(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """Quarantined files do not fill the disk."""
    (tmp_path / "outbox.db.damaged-20250101T000000Z").write_bytes(b"old")
    (tmp_path / "outbox.db").write_bytes(b"this is no database" * 1000)
    open_outbox()
    assert [path.stat().st_size for path in tmp_path.glob("outbox.db.damaged-*")] == [19_000]


def test_kill_9_loses_no_returned_put(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """Every event whose put returned is stored after the kill, and the lock is free."""
    script = """
import sys
from pathlib import Path
from edge_agent.outbox import *
from tests.support.edge.outbox_builders import *
outbox = Outbox(Path(sys.argv[1]) / "outbox.db")
while True:
    print(outbox.put(with_image(tracking_event()), snapshot=b"i" * 3000).sequence, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout as lines:
        returned = [int(next(lines)) for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        returned += [int(line) for line in lines if line.endswith("\n")]
    child.wait()
    outbox = open_outbox()
    held = {item.key for item in outbox.events.take(100_000)}
    assert set(returned) <= held
    assert len(outbox.images.take(100_000)) == len(held)


def test_edge_37_a_second_process_gets_an_error(tmp_path: Path, open_outbox: OpenOutbox) -> None:
    """A second agent process gets a configuration error."""
    open_outbox()
    script = "import sys; from pathlib import Path; from edge_agent.outbox import Outbox; Outbox(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "outbox.db")], capture_output=True, text=True, check=False
    )
    assert ConfigurationError.__name__ in done.stderr
    assert f"process {os.getpid()}" in done.stderr


def test_the_reserve_is_allocated_and_released(tmp_path: Path) -> None:
    """The reserve file occupies disk blocks, can be deleted, and can be created again."""
    path = tmp_path / "reserve"
    reserve = Reserve(path, 100_000)
    reserve.refill()
    assert path.stat().st_size == 100_000
    assert path.stat().st_blocks * 512 >= 100_000
    reserve.release()
    assert not path.exists()
    reserve.refill()
    assert path.exists()


def test_an_invalid_event_in_a_group_fails_alone(open_outbox: OpenOutbox) -> None:
    """The other events of the same transaction are stored."""
    outbox = open_outbox()
    bad = tracking_event()
    bad.event_data.zones = ["a\x00b"]
    outcomes: list[object] = []

    def put(event: object) -> None:
        try:
            outcomes.append(outbox.put(event).sequence)  # pyright: ignore[reportArgumentType]
        except Exception as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=put, args=[bad if n % 5 == 0 else motion_event()]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("ContractError") == 4
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == list(range(1, 17))


def test_a_healthy_outbox_logs_nothing(open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """Opening and storing events logs nothing at INFO."""
    with caplog.at_level(logging.INFO):
        outbox = open_outbox()
        fill(outbox, 3)
    assert caplog.text == ""
