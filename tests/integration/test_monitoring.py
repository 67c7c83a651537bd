"""The commands of the monitoring guide, run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.ports import reserve_port

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide" / "monitoring.md"


def blocks(heading: str, language: str) -> list[str]:
    """Return the code blocks of a section."""
    section = re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"{heading}\n"))
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(script: str, folder: Path) -> str:
    """Run a script in a new folder, with this environment's programs; return its output."""
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/bash", "-m", "-c", script],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def test_the_metrics_of_an_agent(tmp_path: Path) -> None:
    """A running agent without a broker shows its camera, frames and missing connection, as the guide prints them."""
    (script,), (expected,) = blocks("An agent", "sh"), blocks("An agent", "text")
    script = script.replace("9464", str(reserve_port()))
    # A loaded machine takes longer than the guide's pause.
    script = re.sub(
        r"sleep \d+\n(curl[^|]+)", r"until \1 | grep -q '^vedette_frames_total.* [1-9]'; do sleep 0.2; done; \1", script
    )
    numbers = re.compile(r" \d+$", re.MULTILINE)
    found = run(script, tmp_path)
    assert numbers.sub("", found) == numbers.sub("", expected)
    assert 'vedette_camera_up{camera="gate"} 1\n' in found
    assert not re.search(r"frames_total\{.*\} 0$", found, re.MULTILINE)
    assert found.endswith("vedette_mqtt_connected 0\n")
