"""The queue's file when a process that writes to it dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from infra.local.aws.queue_file import QueueFile

ROOT = Path(__file__).parents[5]

WRITER = """
import sys
from pathlib import Path
from infra.local.aws.queue_file import QueueFile
queues = QueueFile(Path(sys.argv[1]))
queues.put("q", [("whole", "{}")])

def endless():
    yield ("half", "{}")
    print("in the middle", flush=True)
    sys.stdin.read()

with queues._transaction():
    for body, attributes in endless():
        queues._database.execute(
            "INSERT INTO message (queue, message_id, body, attributes, sent_at_ms) VALUES ('q', 'm', ?, ?, 0)",
            (body, attributes),
        )
"""


def test_cloud_13_a_writer_killed_in_its_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    """What was put before is there, the half-written batch is not, and the next process writes at once."""
    path = tmp_path / "queues.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in the middle\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait(20)
    queues = QueueFile(path)
    queues.put("q", [("next", "{}")])
    assert [message.body for message in queues.take("q", most=10, hidden_s=60)] == ["whole", "next"]
    queues.close()


def test_cloud_13_a_failed_put_does_not_stop_other_connections(tmp_path: Path) -> None:
    """A message that SQLite cannot hold ends its own transaction: another process on the same file goes on."""
    path = tmp_path / "queues.db"
    one, other = QueueFile(path), QueueFile(path)
    for bad in ("\ud800", "x\udfff"):
        try:
            one.put("q", [("first", "{}"), (bad, "{}")])
        except UnicodeEncodeError:
            other.put("q", [("well", "{}")])
    assert [message.body for message in one.take("q", most=10, hidden_s=60)] == ["well", "well"]
    one.close()
    other.close()
