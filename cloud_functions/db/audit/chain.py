"""Verifies the audit log: each entry holds the SHA-256 hash of its content and of the entry before it in its chain.

There are several chains, so that requests which write at the same time do not wait for each other: the trigger takes
any chain that no other transaction is writing to. ``audit_chains`` holds the last entry of each chain, and the last one
that retention has removed: the first entry that remains follows it. The hashes are computed here again, not by the
database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_functions.db.types import Connection

_ROWS: Final = """
SELECT chain, sequence, previous, hash,
       chain::text, sequence::text, (extract(epoch FROM at) * 1000000)::bigint::text, actor_kind, actor_id::text,
       actor_name, action, target, outcome, reason, address, request_id, details::text
FROM audit_log ORDER BY audit_log.chain, audit_log.sequence
"""
_HEADS: Final = "SELECT chain, sequence, hash, removed_sequence, removed_hash FROM audit_chains ORDER BY chain"
_ROWS_AT_A_TIME: Final = 2000
_NO_HASH: Final = b""


@dataclass(slots=True)
class Verification:
    """The result: the number of entries, the last entry of each chain, and what is wrong."""

    entries: int = 0
    removed: int = 0
    """Entries that retention has removed."""
    heads: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])
    """Sequence and hash (hexadecimal) of the last entry, by chain."""
    faults: list[str] = field(default_factory=list[str])


def verify_chain(connection: Connection, *, known: dict[int, tuple[int, str]] | None = None) -> Verification:
    """Return what is wrong with the log. Run it in a transaction that sees one state (REPEATABLE READ).

    ``known`` holds heads that an earlier verification returned and that were kept elsewhere. With them, the removal of
    the newest entries is found even if ``audit_chains`` was changed to match. A head that retention has removed since
    is not compared.
    """
    result = Verification()
    chains = connection.execute(_HEADS).fetchall()
    heads = {chain: (sequence, bytes(found)) for chain, sequence, found, *_ in chains}
    ends = {chain: (removed, bytes(found)) for chain, _, _, removed, found in chains if removed}
    result.removed = sum(removed for removed, _ in ends.values())
    anchors = {chain: head for chain, head in (known or {}).items() if head[0] > ends.get(chain, (0, b""))[0]}
    for chain, sequence, previous, found, *fields in _rows(connection):
        result.entries += 1
        last, last_hash = ends.get(chain, (0, _NO_HASH))
        if sequence != last + 1:
            result.faults.append(f"chain {chain}: {_range(last + 1, sequence - 1)} missing")
        elif bytes(previous) != last_hash:
            result.faults.append(f"chain {chain}: entry {sequence} does not follow entry {last}")
        if entry_hash(bytes(previous), fields) != bytes(found):
            result.faults.append(f"chain {chain}: entry {sequence} was changed")
        if chain in anchors and anchors[chain][0] == sequence and anchors.pop(chain)[1] != bytes(found).hex():
            result.faults.append(f"chain {chain}: entry {sequence} is not the one that was verified before")
        ends[chain] = sequence, bytes(found)
    for chain, (sequence, found) in heads.items():
        last, last_hash = ends.get(chain, (0, _NO_HASH))
        if sequence > last:
            result.faults.append(f"chain {chain}: {_range(last + 1, sequence)} missing")
        elif (sequence, found) != (last, last_hash):
            result.faults.append(f"chain {chain}: its end is not entry {sequence}")
        if sequence:
            result.heads[chain] = sequence, found.hex()
    for chain in ends.keys() - heads.keys():
        result.faults.append(f"chain {chain}: its end is not in audit_chains")
    for chain, (sequence, _) in anchors.items():
        result.faults.append(f"chain {chain}: entry {sequence} of an earlier verification is missing")
    return result


def entry_hash(previous: bytes, fields: list[str | None]) -> bytes:
    """Return the hash of an entry, as the trigger of ``audit_log`` computes it."""
    texts = [previous.hex(), *fields]
    return hashlib.sha256(",".join(map(_field, texts)).encode()).digest()


def _field(text: str | None) -> str:
    return "-" if text is None else f"{len(text.encode())}:{text}"


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="audit") as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        yield from cursor.execute(_ROWS)


def _range(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
