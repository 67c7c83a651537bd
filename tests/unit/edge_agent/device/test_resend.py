"""The ``resend`` command: events that the outbox still stores are sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.device.commands import MAX_UNAVAILABLE_RANGES, ResendHandler
from edge_agent.outbox import Outbox, OutboxSettings
from tests.support.edge.command_harness import CommandHarness
from tests.support.edge.outbox_builders import motion_event


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", settings=OutboxSettings(keep_sent_bytes=10_000_000))
    yield outbox
    outbox.close()


def test_resend_queues_stored_events_and_reports_missing_ones(outbox: Outbox) -> None:
    """The reply contains the number of events that are sent again and the ranges that are unavailable."""
    for _ in range(10):
        outbox.put(motion_event())
    outbox.events.ack(outbox.events.take(10))
    device = CommandHarness(resend=ResendHandler(outbox=outbox))
    device.send("resend", "r-1", sequence_epoch=outbox.epoch, ranges=[[3, 4], [9, 12]])
    reply = device.last_reply()
    assert (reply.status, reply.resent, reply.unavailable) == ("ok", 4, [(11, 12)])
    assert reply.sequence_epoch == outbox.epoch
    assert [item.key for item in outbox.events.take(10)] == [3, 4, 9, 10]
    device.dispatcher.close()


def test_events_of_another_epoch_are_all_unavailable(outbox: Outbox) -> None:
    """After the outbox was lost, the reply lets the cloud mark the gap as lost."""
    device = CommandHarness(resend=ResendHandler(outbox=outbox))
    device.send("resend", "r-1", sequence_epoch="gone", ranges=[[3, 4]])
    reply = device.last_reply()
    assert (reply.resent, reply.unavailable, reply.sequence_epoch) == (0, [(3, 4)], "gone")
    device.dispatcher.close()


def test_the_list_of_unavailable_ranges_is_limited() -> None:
    """With any number of unavailable ranges, the reply fits into one message."""

    class FragmentedOutbox:
        def resend(self, _epoch: str, _ranges: object) -> Any:
            from edge_agent.outbox import ResendOutcome

            return ResendOutcome(resent=0, unavailable=[(2 * n, 2 * n) for n in range(1, 100_000)])

    handler = ResendHandler(outbox=FragmentedOutbox())  # pyright: ignore[reportArgumentType]
    device = CommandHarness(resend=handler)
    device.send("resend", "r-1", sequence_epoch="e", ranges=[[1, 10]])
    reply = device.last_reply()
    assert len(reply.unavailable or []) == MAX_UNAVAILABLE_RANGES
    assert len(device.publisher.published[0][1]) < 128 * 1024
    device.dispatcher.close()
