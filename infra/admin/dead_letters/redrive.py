"""Sends dead letters to the queue that they came from, and only then deletes them.

A process that is killed between the two leaves a letter that was sent already. Sending it once more has no effect:
ingest stores an event once for each ``event_id``, and subscribers have to expect an event twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cloud_functions.aws import MAX_BATCH_ENTRIES, aws_error, entry_batches
from infra.admin.dead_letters.letters import EARLIER, Letter, source_of
from infra.admin.dead_letters.queues import INGEST, DeadLetterQueue
from shared.errors import PermanentError, TransientError

_OF_INGEST: Final = ("reason", "detail", "topic")
"""Attributes that ingest adds to a rejected message."""
_MAX_REASONS: Final = 10
_ADDED_BYTES: Final = 8 * 1024
"""Room for the reasons in a request."""
_MAX_BYTES: Final = 250 * 1024
"""A message that would be larger is sent without its earlier reasons."""

Open = Callable[[str], str]
"""Opens the sealed letter of a protected site."""


def redrive(letters: Sequence[Letter], *, open_sealed: Open, done: Callable[[int], None]) -> int:
    """Send the letters again and delete them; return how many. ``done`` is called with each number of finished ones.

    Raises:
        TransientError, PermanentError: a queue does not accept them; those that are left stay where they are.
        ConfigurationError: a letter is sealed, and the key that opens it is not available.
    """
    finished = 0
    for queue in {letter.queue.url: letter.queue for letter in letters}.values():
        target = queue.find_source()
        mine = [letter for letter in letters if letter.queue.url == queue.url]
        for batch in entry_batches(mine, _size_bytes):
            messages = [
                redriven_message(letter, open_sealed(letter.body) if letter.is_sealed else letter.ingest_body)
                for letter in batch
            ]
            refused = _send(queue, target, messages)
            finished += delete([letter for number, letter in enumerate(batch) if number not in refused])
            if refused:
                raise TransientError(f"the queue of {queue.name} refused {len(refused)} messages: run it again")
            done(len(batch))
    return finished


def delete(letters: Sequence[Letter]) -> int:
    """Delete letters for good; return how many."""
    for queue in {letter.queue.url: letter.queue for letter in letters}.values():
        mine = [letter for letter in letters if letter.queue.url == queue.url]
        for start in range(0, len(mine), MAX_BATCH_ENTRIES):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle}
                for number, letter in enumerate(mine[start : start + MAX_BATCH_ENTRIES])
            ]
            try:
                answer = queue.client.delete_message_batch(QueueUrl=queue.url, Entries=entries)
            except Exception as error:
                raise aws_error(error, doing=f"deleting dead letters of {queue.name}") from error
            if answer.get("Failed"):
                raise TransientError(f"{len(answer['Failed'])} dead letters of {queue.name} could not be deleted")
    return len(letters)


def _send(queue: DeadLetterQueue, url: str, messages: Sequence[dict[str, Any]]) -> set[int]:
    """Send messages that fit into one request; return the numbers of those that were refused."""
    entries = [{"Id": str(number), **message} for number, message in enumerate(messages)]
    try:
        answer = queue.client.send_message_batch(QueueUrl=url, Entries=entries)
    except Exception as error:
        raise aws_error(error, doing=f"sending {len(entries)} messages to the queue of {queue.name}") from error
    return {int(failure["Id"]) for failure in answer.get("Failed", [])}


def _size_bytes(letter: Letter) -> int:
    return len(letter.body.encode()) + len(json.dumps(dict(letter.attributes), default=str)) + _ADDED_BYTES


def redriven_message(letter: Letter, body: str) -> dict[str, Any]:
    """Return body and attributes with which a letter is sent again, with its reasons so far.

    A message of ingest carries them in its envelope, because a rejected message keeps its body alone. A message of
    fan-out carries them in an attribute, because its body is what subscribers get.
    """
    reasons = [*letter.earlier_reasons, f"{letter.reason}: {letter.detail}" if letter.detail else letter.reason]
    reasons = reasons[-_MAX_REASONS:]
    if source_of(letter) == INGEST:
        attributes = {name: value for name, value in letter.attributes.items() if name not in _OF_INGEST}
        return {"MessageBody": _with_reasons(body, reasons), "MessageAttributes": _sendable(attributes)}
    attributes = dict(letter.attributes) | {EARLIER: {"DataType": "String", "StringValue": json.dumps(reasons)}}
    return {"MessageBody": body, "MessageAttributes": _sendable(attributes)}


def _with_reasons(body: str, reasons: Sequence[str]) -> str:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(envelope, dict) or "payload_base64" not in envelope:
        return body
    extended = json.dumps(envelope | {EARLIER: list(reasons)}, separators=(",", ":"))
    return extended if len(extended.encode()) <= _MAX_BYTES else body


def _sendable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("DataType", "StringValue", "BinaryValue")
    return {name: {part: value[part] for part in kept if part in value} for name, value in attributes.items()}


def require_found(letters: Sequence[Letter], ids: Sequence[str]) -> list[Letter]:
    """Return the letters with these ids, or unambiguous beginnings of them; raise PermanentError for any other."""
    chosen: dict[str, Letter] = {}
    for wanted in ids:
        matches = [letter for letter in letters if letter.message_id.startswith(wanted)]
        if len(matches) != 1:
            reason = "more than one dead letter begins with" if matches else "there is no dead letter"
            hint = "" if matches else " (it may be in flight: another reader holds it, or it was re-driven already)"
            raise PermanentError(f"{reason} {wanted}{hint}")
        chosen[matches[0].message_id] = matches[0]
    return list(chosen.values())
