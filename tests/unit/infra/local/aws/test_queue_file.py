"""The file of the queues stays usable when a process dies or fails while it writes."""

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


def test_cloud_13_an_unfinished_transaction_of_a_killed_writer_is_rolled_back(tmp_path: Path) -> None:
    """Earlier messages are kept, the unfinished batch is not, and the next process can write at once."""
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


def test_cloud_13_a_failed_put_does_not_block_other_connections(tmp_path: Path) -> None:
    """A message that SQLite cannot store fails its own transaction, and another process can write to the file."""
    path = tmp_path / "queues.db"
    failing, other = QueueFile(path), QueueFile(path)
    for invalid in ("\ud800", "x\udfff"):
        try:
            failing.put("q", [("first", "{}"), (invalid, "{}")])
        except UnicodeEncodeError:
            other.put("q", [("valid", "{}")])
    assert [message.body for message in failing.take("q", most=10, hidden_s=60)] == ["valid", "valid"]
    failing.close()
    other.close()
