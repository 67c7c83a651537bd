"""The table of tasks, and the page that describes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cloud_functions.maintenance.schedule import TASKS

PAGE: Final = Path(__file__).resolve().parents[4] / "docs/guide/operations.md"


def test_documented_tasks_run_at_their_documented_times() -> None:
    """The times of the document about camera management: health, expired snapshots, old health records."""
    documented = {name: TASKS[name].expression for name in ("devices", "snapshots", "health_records")}
    assert documented == {
        "devices": "rate(1 minute)",
        "snapshots": "cron(0 2 * * ? *)",
        "health_records": "cron(0 3 ? * SUN *)",
    }
    assert "silent" in [step.name for step in TASKS["devices"].steps]
    assert "expired" in [step.name for step in TASKS["snapshots"].steps]


def test_the_page_of_operations_lists_every_task() -> None:
    """It has a row for each task, with the schedule of the table."""
    rows = re.findall(r"^\| `([a-z_]+)` \| `([^`]+)` \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {name: task.expression for name, task in TASKS.items()}
    assert len(rows) == len(TASKS)
