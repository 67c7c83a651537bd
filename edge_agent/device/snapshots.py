"""The handler of ``snapshot`` commands: captures a frame, stores the image in the bucket, then its event in the outbox.

A requested image does not wait behind the images of events in the outbox: it is uploaded at once. Where that fails, it
goes into the outbox with its event, and is uploaded as soon as the bucket can be reached.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from edge_agent.device.commands import ReplyFields
from edge_agent.outbox import Outbox, OutboxFullError
from edge_agent.outbox.event_times import shift_event
from edge_agent.outbox.rows import ImageToStore, images_of
from edge_agent.transport.publisher import ImageStore
from shared.clock import StepAwareClock
from shared.commands import SnapshotCommand, TakenSnapshot
from shared.errors import ConfigurationError, ContractError, VedetteError
from shared.events import Event, SnapshotData, SnapshotEvent

logger = logging.getLogger(__name__)

MAX_UPLOAD_S = 8.0
"""Time that a direct upload may take. Without an answer by then, the outbox takes over."""
_REPLY_S = 1.0
"""Time that is left for the reply, of the time in which it is expected."""
_MIN_UPLOAD_S = 0.5


class CapturedSnapshot(Protocol):
    """A ``snapshot`` event with its encoded images, as ``Cameras.take_snapshot`` returns it."""

    @property
    def event(self) -> Event: ...
    @property
    def snapshot(self) -> bytes | None: ...
    @property
    def thumbnail(self) -> bytes | None: ...


class SnapshotHandler:
    """Executes ``snapshot`` commands. Thread-safe."""

    def __init__(
        self,
        *,
        take: Callable[[SnapshotCommand], CapturedSnapshot],
        store: ImageStore | None,
        outbox: Outbox,
        clock: StepAwareClock,
    ) -> None:
        """``clock`` is the clock of the frames' timestamps. Without a ``store``, every command is an error."""
        self._take = take
        self._store = store
        self._outbox = outbox
        self._clock = clock

    def __call__(self, command: SnapshotCommand) -> ReplyFields:
        """Capture and store a snapshot; return its description for the reply.

        Raises:
            ConfigurationError: the device has no bucket, or no such camera.
            NotReadyError: the camera's first frame is still expected.
            TransientError: the camera has no frame.
            PermanentError: neither the bucket nor the outbox accepts the image.
        """
        if self._store is None:
            raise ConfigurationError("this device has no bucket for images: set [s3] in its configuration")
        captured = self._take(command)
        event = self._with_final_times(captured.event)
        images = images_of(event, snapshot=captured.snapshot, thumbnail=captured.thumbnail)
        error = self._upload(self._store, images, timeout_s=_upload_s(command))
        event = _marked(event, stored=error is None)
        self._put(event, captured, stored=error is None)
        taken = _description(event, has_thumbnail=captured.thumbnail is not None, error=error)
        return {"snapshot_id": taken.snapshot_id, "snapshot": taken.model_dump()}

    def _with_final_times(self, event: Event) -> Event:
        """Return the event as the wall clock is set now: the image's key must not change after the upload."""
        try:
            return shift_event(event, self._clock.corrected, move_snapshot=True)
        except OverflowError:  # the corrected time is out of range
            return event

    def _upload(self, store: ImageStore, images: Sequence[ImageToStore], *, timeout_s: float) -> str | None:
        """Upload the images; return why they are not stored, or None.

        The upload has its own thread, because a store that does not answer must not delay the reply. An upload that
        succeeds later does no harm: the outbox stores the same image under the same key.
        """
        done: Future[None] = Future()

        def put_all() -> None:
            try:
                for image in images:
                    store.put(image.object_key, image.body, content_type=image.content_type)
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        threading.Thread(target=put_all, name="upload-snapshot", daemon=True).start()
        try:
            done.result(timeout_s)
        except TimeoutError:
            return "the image store did not answer in time"
        except VedetteError as error:
            return str(error)
        except Exception as error:
            logger.exception("uploading a snapshot failed")
            return f"internal error ({type(error).__name__}); see the device's log"
        return None

    def _put(self, event: Event, captured: CapturedSnapshot, *, stored: bool) -> None:
        """Put the event into the outbox, with its images if they are not stored yet."""
        if not stored:
            self._outbox.put(event, snapshot=captured.snapshot, thumbnail=captured.thumbnail)
            return
        try:
            self._outbox.put(event)
        except (OutboxFullError, ContractError) as error:
            # The image is stored and the reply describes it, so only the event is lost.
            logger.error("camera %s: lost a %s event: %s", event.camera_id, event.event_type, error)  # noqa: TRY400


def _upload_s(command: SnapshotCommand) -> float:
    """Return how long the upload may take, in seconds, so that the reply is in time."""
    if command.reply_within_s is None:
        return MAX_UPLOAD_S
    return min(max(command.reply_within_s - _REPLY_S, _MIN_UPLOAD_S), MAX_UPLOAD_S)


def _marked(event: Event, *, stored: bool) -> SnapshotEvent:
    assert isinstance(event, SnapshotEvent)  # noqa: S101 - from take_snapshot
    return event.model_copy(update={"event_data": event.event_data.model_copy(update={"stored": stored})})


def _description(event: SnapshotEvent, *, has_thumbnail: bool, error: str | None) -> TakenSnapshot:
    assert event.snapshot is not None  # noqa: S101 - take_snapshot returns an image or raises
    data: SnapshotData = event.event_data
    return TakenSnapshot(
        snapshot_id=data.snapshot_id,
        camera_id=event.camera_id,
        captured_at=event.timestamp,
        image=event.snapshot,
        has_thumbnail=has_thumbnail,
        stored=error is None,
        error=error,
    )
