"""Checks the numbers of files in CONTRIBUTING by adding an example of each kind to a copy of the tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
Edit = Callable[[str], str]


def _insert(pattern: str, addition: str, *, before: bool = False) -> Edit:
    """Return an edit that adds text after (or before) the first match of ``pattern``."""

    def edit(text: str) -> str:
        changed, count = re.subn(
            pattern,
            lambda match: addition + match[0] if before else match[0] + addition,
            text,
            count=1,
            flags=re.MULTILINE,
        )
        assert count == 1, f"{pattern!r} is no longer in the file: adapt this test and CONTRIBUTING.md"
        return changed

    return edit


def _all(*edits: Edit) -> Edit:
    def edit(text: str) -> str:
        for each in edits:
            text = each(text)
        return text

    return edit


def _new(content: str) -> Edit:
    def edit(text: str) -> str:
        assert text == "", "the example's file exists already"
        return content

    return edit


def _example_event(_: str) -> str:
    sample = json.loads((ROOT / "tests/contract/golden/event_camera_status.json").read_text(encoding="utf-8"))
    return json.dumps(sample | {"event_type": "toy", "event_data": {"wheels": 4}}, indent=2)


def _example_fanout(template: str) -> str:
    """Repeat the resources of the fan-out to Redis under other names, with the example as target."""
    names = (
        "Queue",
        "DeadLetters",
        "Subscription",
        "QueuePolicy",
        "Function",
        "FunctionRole",
        "Logs",
        "DeadLettersAlarm",
    )
    blocks = [re.search(rf"^  Fanout{name}:\n(?:    .*\n|\n)+", template, re.MULTILINE) for name in names]
    copied = "".join(block[0].rstrip("\n") + "\n\n" for block in blocks if block is not None)
    assert copied.count("Type: AWS") == len(names)
    toy = copied.replace("Fanout", "FanoutToy").replace("FANOUT_TARGET: redis", "FANOUT_TARGET: toy")
    template = template.replace("\n  FanoutQueue:\n", f"\n{toy}  FanoutQueue:\n", 1)
    redis = '!If [HasRedis, !Sub "redis=${FanoutQueue}", ""]'
    toys = '!If [HasRedis, !Sub "toy=${FanoutToyQueue}", ""]'
    assert template.count(redis) == 2, "the API and maintenance know the queues of replays"
    template = template.replace(redis, f"{redis}, {toys}")
    allowed = "                - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt FanoutQueue.Arn}\n"
    assert template.count(allowed) == 1
    return template.replace(allowed, allowed + allowed.replace("Fanout", "FanoutToy"))


@dataclass(frozen=True, slots=True)
class Example:
    """An example of one addition in CONTRIBUTING's table."""

    row: str
    """The first column of CONTRIBUTING's table."""
    edits: dict[str, Edit]
    check: str
    """A program that fails if the example does not work."""
    tests: tuple[str, ...] = ()
    """Tests of the tree that must pass with the example in it."""


EXAMPLES: Final = {
    "event type": Example(
        row="an event type",
        edits={
            "shared/event_types.py": _insert(r"^EventType = Literal\[", '"toy", '),
            "shared/events.py": _all(
                _insert(
                    r"^Event = Annotated\[",
                    "class ToyData(BaseModel):\n    wheels: int\n\n\n"
                    'class ToyEvent(EventBase):\n    event_type: Literal["toy"] = "toy"\n    event_data: ToyData\n\n\n',
                    before=True,
                ),
                _insert(r"^Event = Annotated\[\n\s*", "ToyEvent | "),
            ),
            "tests/contract/golden/event_toy.json": _example_event,
        },
        check=(
            "from cloud_functions.api.events.requests import EventType\n"
            "from typing import get_args\n"
            "from shared.events import parse_event\n"
            "event = parse_event(open('tests/contract/golden/event_toy.json', 'rb').read())\n"
            "assert event.event_data.wheels == 4\n"
            "assert 'toy' in get_args(EventType), 'the API filters by it'\n"
        ),
        tests=("tests/contract/test_golden_events.py", "tests/contract/test_event_dicts.py"),
    ),
    "fan-out target": Example(
        row="a fan-out target",
        edits={
            "cloud_functions/fanout/targets/toy.py": _new(
                '"""A target that delivers nowhere."""\n\n\nclass ToyTarget:\n    """Delivers nothing."""\n\n'
                "    def deliver(self, deliveries):\n        return set()\n\n\n"
                "def build(settings):\n    return ToyTarget()\n"
            ),
            "cloud_functions/fanout/targets/__init__.py": _insert(
                r"^TARGETS: .*\{\n",
                '    "toy": TargetEntry("cloud_functions.fanout.targets.toy:build", variable="REDIS_URL"),\n',
            ),
            "template.yaml": _example_fanout,
        },
        check=(
            "from cloud_functions.fanout.targets import build_target\n"
            "from cloud_functions.settings import FanoutSettings\n"
            "from infra.local.aws.resources import QUEUES\n"
            "assert build_target(FanoutSettings(target='toy')).deliver([]) == set()\n"
            "assert 'vedette-fanout-toy' in QUEUES\n"
        ),
        tests=("tests/integration/test_template.py",),
    ),
    "API resource": Example(
        row="an API resource",
        edits={
            "cloud_functions/api/toys/__init__.py": _new('"""Toys. ``routes``."""\n'),
            "cloud_functions/api/toys/routes.py": _new(
                '"""``GET /toys``."""\n\nfrom fastapi import APIRouter\n\n'
                "from cloud_functions.api.http.strict_route import StrictRoute\n\n"
                'router = APIRouter(tags=["Health"], route_class=StrictRoute)\n\n\n'
                '@router.get("/toys")\nasync def toys() -> dict[str, int]:\n    """Count the toys."""\n'
                '    return {"toys": 1}\n'
            ),
            "cloud_functions/api/app.py": _all(
                _insert(
                    r"^from cloud_functions\.api\.watchlists .*\n",
                    "from cloud_functions.api.toys import routes as toys\n",
                ),
                _insert(r"^_ROUTERS = \(", "toys.router, "),
            ),
        },
        check=(
            "from tests.support.api_calls import lambda_api\n"
            "from cloud_functions.api.app import create_app\n"
            "app = create_app(dependencies=lambda_api(None)[1])\n"
            "assert '/api/toys' in app.openapi()['paths']\n"
        ),
    ),
    "camera source": Example(
        row="a camera source",
        edits={
            "edge_agent/camera/toy.py": _new(
                '"""A source without frames."""\n\n\ndef open_toy(text, *, settings, clock, start_time):\n'
                '    return f"opened {text}"\n'
            ),
            "edge_agent/camera/source.py": _insert(
                r"^SCHEMES: .*\{\n", '    "toy": "edge_agent.camera.toy:open_toy",\n'
            ),
        },
        check=(
            "from edge_agent.camera.settings import SourceSettings\n"
            "from edge_agent.camera.source import open_source\n"
            "from shared.clock import SystemClock\n"
            "assert open_source('toy:car', settings=SourceSettings(), clock=SystemClock()) == 'opened toy:car'\n"
        ),
    ),
    "detector runtime": Example(
        row="a detector runtime",
        edits={
            "edge_agent/detect/runtimes/toy.py": _new(
                '"""A runtime that is never installed."""\n\n'
                "from edge_agent.detect.runtimes.table import RuntimeMissingError\n\n\n"
                "def open_toy(path, *, threads, edgetpu):\n"
                '    raise RuntimeMissingError("the runtime toy is not installed: pip install toy")\n'
            ),
            "edge_agent/detect/runtimes/table.py": _insert(
                r"^RUNTIMES: .*\{\n(?:    .*\n)+",
                '    "toy": Runtime("toy", "edge_agent.detect.runtimes.toy:open_toy"),\n',
            ),
            "pyproject.toml": _insert(r"^\[project\.optional-dependencies\]\n", 'toy = ["toy>=1"]\n'),
        },
        check="from edge_agent.detect.runtimes.table import RUNTIMES\nassert 'toy' in RUNTIMES\n",
        tests=("tests/unit/edge_agent/detect/runtimes/test_table.py",),
    ),
    "maintenance schedule": Example(
        row="a maintenance task",
        edits={
            "cloud_functions/maintenance/tasks/toy.py": _new(
                '"""A task that does nothing."""\n\n\ndef count_toys(context):\n    return 1\n'
            ),
            "cloud_functions/maintenance/schedule.py": _all(
                _insert(
                    r"^from cloud_functions\.maintenance\.tasks\.site_retention .*\n",
                    "from cloud_functions.maintenance.tasks.toy import count_toys\n",
                ),
                _insert(r"^TASKS: .*\{\n", '    "toys": Task((Step("count", count_toys),), "cron(5 3 * * ? *)"),\n'),
            ),
            "template.yaml": _insert(
                r"^        Tidy:\n",
                "        Toys:\n          Type: ScheduleV2\n          Properties:\n            OmitName: true\n"
                '            ScheduleExpression: cron(5 3 * * ? *)\n            Input: \'{"task": "toys"}\'\n'
                "            RetryPolicy: {MaximumRetryAttempts: 0}\n",
                before=True,
            ),
            "docs/guide/operations.md": _insert(
                r"^\| `tidy` \|.*\n", "| `toys` | `cron(5 3 * * ? *)` | counts toys |\n", before=True
            ),
        },
        check=(
            "from datetime import UTC, datetime\n"
            "from cloud_functions.maintenance.schedule import TASKS\n"
            "from infra.local.aws.scheduler import scheduled_tasks\n"
            "assert TASKS['toys'].steps[0].run(None) == 1\n"
            "tasks = scheduled_tasks({}, now=datetime.now(UTC))\n"
            "assert 'toys' in {task.event['task'] for task in tasks}\n"
        ),
        tests=("tests/unit/infra/local/aws/test_scheduler.py",),
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of every tracked file, with all examples added and the generated pages renewed."""
    folder = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for example in EXAMPLES.values():
        for name, edit in example.edits.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(edit(path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")
    _python(folder, "-m", "shared.schemas", "docs/reference")
    return folder


def _python(folder: Path, *arguments: str) -> None:
    """Run Python with the packages of the copy before the installed ones."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def _counts() -> dict[str, int]:
    """Return the numbers of files in CONTRIBUTING's table."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-zA-Z -]+) \| ([0-9]+) \|", page, re.MULTILINE)
    return {name.strip(): int(number) for name, number in rows}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_number_of_files_is_that_of_the_example(name: str) -> None:
    """The number in the table is the number of files that the example adds or changes, and the row names each."""
    example = EXAMPLES[name]
    assert _counts()[example.row] == len(example.edits)
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| {example.row} |")]
    changed = [path for path in example.edits if (ROOT / path).is_file()]
    assert [path for path in changed if path not in row] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_works(name: str, tree: Path) -> None:
    """The example can be used, and the tests of its kind pass with it."""
    example = EXAMPLES[name]
    _python(tree, "-W", "error", "-c", example.check)
    if example.tests:
        _python(tree, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *example.tests)


def test_the_layers_allow_the_examples(tree: Path) -> None:
    """import-linter accepts the tree with all examples."""
    _python(tree, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")
