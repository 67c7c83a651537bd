"""The commands ``dead-letters list``, ``show``, ``re-drive`` and ``delete``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from cloud_functions.db.sites.settings import list_sites
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.sealing import open_dead_letter
from cloud_functions.privacy.vault import PlateVault
from infra.admin.audit import record_command
from infra.admin.database import transaction
from infra.admin.dead_letters.letters import HIDDEN_S, Letter, Reading, read_letters
from infra.admin.dead_letters.queues import DeadLetterQueue, QueueOptions, find_queues
from infra.admin.dead_letters.redrive import delete, redrive, require_found
from infra.admin.progress_bar import ProgressBar
from infra.admin.stack import master_key_setting
from shared.clock import format_utc
from shared.errors import ConfigurationError, TransientError, VedetteError

Options = argparse.Namespace
_DEFAULT_MOST: Final = 1000
_MAX_MOST: Final = 100_000
_HEADINGS: Final = ("QUEUE", "ID", "SENT", "REASON", "DEVICE", "DETAIL")
_SHORT_ID: Final = 8


def add_commands(commands: Any) -> None:
    """Add ``dead-letters`` to the commands of the parser."""
    text = "list, show, re-drive and delete what ingest and fan-out could not process"
    steps = commands.add_parser("dead-letters", help=text, description=f"{text[0].upper()}{text[1:]}.").add_subparsers(
        required=True, metavar="STEP"
    )
    _add(steps, "list", _list, "list dead letters: queue, id, time, reason, device")
    show = _add(steps, "show", _show, "show one dead letter with its content")
    show.add_argument("ids", nargs=1, metavar="ID", help="its id, or the beginning of it")
    again = _add(steps, "re-drive", _redrive, "send dead letters to their queue again, and delete them after that")
    gone = _add(steps, "delete", _delete, "delete dead letters for good")
    for step in (again, gone):
        step.add_argument("ids", nargs="*", metavar="ID", help="ids, or beginnings of ids")
        step.add_argument("--all", action="store_true", help="all that --queue and --reason select")
    gone.add_argument("--yes", action="store_true", help="do not ask")


def _add(steps: Any, name: str, run: Callable[[Options, str], None], text: str) -> argparse.ArgumentParser:
    parser = steps.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of a running one-machine stack")
    parser.add_argument("--cloudformation", metavar="STACK", help="on AWS: the queues of this CloudFormation stack")
    parser.add_argument(
        "--queue-url", action="append", default=[], metavar="NAME=URL", help="on AWS: a dead-letter queue; repeatable"
    )
    parser.add_argument("--queue", metavar="NAME", help="only this queue: ingest, or a fan-out target")
    parser.add_argument("--reason", metavar="CODE", help="only letters with this reason")
    parser.add_argument(
        "--most", type=int, default=_DEFAULT_MOST, metavar="N", help="letters read per queue (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, needs_database=False)
    return parser


def _list(options: Options, url: str) -> None:
    sites = _open_sites(url)
    with _reading(options) as reading:
        if options.json:
            print(json.dumps(_as_json(reading, sites)))
            return
        for line in _table(reading.letters, sites):
            print(line)
        _print_notes(reading)


def _show(options: Options, url: str) -> None:
    sites = _open_sites(url)
    with _reading(options) as reading:
        [letter] = require_found(reading.letters, options.ids)
        described = letter.as_json(sites, with_content=True)
    if options.json:
        print(json.dumps(described))
        return
    content = described.pop("content")
    for name, value in described.items():
        print(f"{name:<16} {', '.join(value) if isinstance(value, list) else '' if value is None else value}")
    print(content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False))
    if letter.is_sealed:
        print("Its site is protected: only re-drive and vedette-plates open-letter open it, with the master key.")


def _redrive(options: Options, url: str) -> None:
    with _reading(options) as reading:
        letters = _chosen(reading, options)
        bar = ProgressBar("re-driving", total=len(letters), done=0, stream=sys.stderr, unit="letters")
        if letters:
            # Before the first one is sent: an entry without effect is better than an effect without an entry.
            _record(url, "redrive_dead_letters", letters)
        number = redrive(letters, open_sealed=_Opener(options, url), done=bar.advance)
        if letters:
            bar.finish()
    _print_result(options, "re-driven", number, reading)


def _delete(options: Options, url: str) -> None:
    with _reading(options) as reading:
        letters = _chosen(reading, options)
        if letters and not options.yes:
            _confirm(letters)
        if letters:
            _record(url, "delete_dead_letters", letters)
        number = delete(letters)
    _print_result(options, "deleted", number, reading)


class _Opener:
    """Opens sealed letters with the keys of the database; connects for the first one."""

    def __init__(self, options: Options, url: str) -> None:
        self._options = options
        self._url = url
        self._vault: PlateVault | None = None

    def __call__(self, body: str) -> str:
        if self._vault is None:
            setting = master_key_setting(_variables(self._options), state=self._options.state)
            if not self._url or setting is None:
                raise ConfigurationError(
                    "a dead letter is of a protected site: DATABASE_URL and PLATE_MASTER_KEY are needed to open it"
                )
            self._vault = PlateVault(master_keys=master_keys(setting))
            with transaction(self._url) as connection:
                self._vault.refresh(connection)
        return open_dead_letter(body, self._vault)


def _reading(options: Options) -> AbstractContextManager[Reading]:
    if not 1 <= options.most <= _MAX_MOST:
        raise ConfigurationError(f"--most must be from 1 to {_MAX_MOST}")
    queues = find_queues(
        QueueOptions(state=options.state, cloudformation=options.cloudformation, queues=options.queue_url),
        _variables(options),
    )
    return read_letters(_selected(queues, options.queue), most=options.most, reason=options.reason)


def _selected(queues: Sequence[DeadLetterQueue], name: str | None) -> list[DeadLetterQueue]:
    chosen = [queue for queue in queues if name in (None, queue.name)]
    if not chosen:
        raise ConfigurationError(f"--queue is one of {', '.join(queue.name for queue in queues)}")
    return chosen


def _chosen(reading: Reading, options: Options) -> list[Letter]:
    if bool(options.ids) == options.all:
        raise ConfigurationError("name the dead letters by their ids, or all of them with --all")
    return reading.letters if options.all else require_found(reading.letters, options.ids)


def _confirm(letters: Sequence[Letter]) -> None:
    if not sys.stdin or not sys.stdin.isatty():
        raise ConfigurationError("deleted letters are gone for good; confirm with --yes")
    sys.stderr.write(f"Delete {len(letters)} dead letters for good? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise TransientError("nothing was deleted")


def _open_sites(url: str) -> Any:
    """Return the sites whose plates may be shown: none if the database cannot say which are protected."""
    if not url:
        return ()
    try:
        with transaction(url) as connection:
            protected = {site.site_id for site in list_sites(connection) if site.plates_protected}
    except VedetteError as error:
        sys.stderr.write(f"vedette-admin: plates are not shown: {error}\n")
        return ()
    return _AllBut(protected)


class _AllBut:
    """All sites but the protected ones. A message without a site may be of any."""

    def __init__(self, protected: set[str]) -> None:
        self._protected = protected

    def __contains__(self, site: object) -> bool:
        return not self._protected or (bool(site) and site not in self._protected)


def _record(url: str, action: str, letters: Sequence[Letter]) -> None:
    if not url:
        sys.stderr.write("vedette-admin: without DATABASE_URL this is not in the audit log\n")
        return
    queues = sorted({letter.queue.name for letter in letters})
    with transaction(url) as connection:
        record_command(connection, action, target=f"queues={','.join(queues)}", letters=len(letters))


def _table(letters: Sequence[Letter], sites: Any) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for letter in letters:
        shown = letter.as_json(sites, with_content=False)
        sent = "" if letter.sent_at is None else format_utc(letter.sent_at.replace(microsecond=0))
        earlier = f" (before: {'; '.join(letter.earlier_reasons)})" if letter.earlier_reasons else ""
        detail = f"{shown['detail']}{earlier if shown['detail'] == letter.detail else ''}"
        rows.append((letter.queue.name, letter.message_id[:_SHORT_ID], sent, letter.reason, letter.device, detail))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]
    return [_one_line(line) for line in lines] if letters else []


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text).rstrip()


def _print_notes(reading: Reading) -> None:
    if not reading.letters:
        print("There are no dead letters.")
    for name, number in reading.in_flight.items():
        print(f"{name}: {number} more are in flight: another reader holds them. They come back within {HIDDEN_S} s.")
    if not reading.is_complete:
        print("There may be more: raise --most.")


def _print_result(options: Options, what: str, number: int, reading: Reading) -> None:
    if options.json:
        print(json.dumps({what.replace("-", ""): number, "in_flight": reading.in_flight}))
        return
    print(f"{number} dead letters were {what}.")
    if what == "re-driven" and number:
        print("One that fails again comes back with both reasons: vedette-admin dead-letters list")
    if reading.in_flight or not reading.is_complete:
        print("Others are left: run the command again.")


def _as_json(reading: Reading, sites: Any) -> dict[str, Any]:
    return {
        "letters": [letter.as_json(sites, with_content=False) for letter in reading.letters],
        "in_flight": reading.in_flight,
        "complete": reading.is_complete,
    }


def _variables(options: Options) -> Mapping[str, str]:
    return os.environ if options.variables is None else options.variables
