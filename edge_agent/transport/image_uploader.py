"""Uploads the images of the outbox to the image store."""

from __future__ import annotations

import logging

from edge_agent.outbox import Outbox, WaitingImage
from edge_agent.transport.delivery_counters import DeliveryCounters, UploadResult
from edge_agent.transport.delivery_threads import IDLE_S, REFUSED_DELAY_S, DeliveryThreads
from edge_agent.transport.problem_log import ProblemLog
from edge_agent.transport.publisher import ImageStore
from edge_agent.transport.settings import SenderSettings
from shared.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

_REFUSED_PAUSE_S = 0.1


class ImageUploader(DeliveryThreads):
    """Uploads images to the store. A store failure pauses all uploads; a refused image is deferred alone."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        store: ImageStore,
        settings: SenderSettings,
        counters: DeliveryCounters | None = None,
    ) -> None:
        super().__init__(outbox=outbox, settings=settings, name="send-images", threads=settings.upload_threads)
        self._counters = counters
        self._store = store
        self._refused_in_a_row = 0
        self._problems = ProblemLog(logger, subject="image store")

    def _step(self) -> float | None:
        if wait_s := self.backoff.remaining_s():
            return None if self.stopping else wait_s
        items = self._outbox.images.take(1)
        if not items:
            return None if self.stopping else IDLE_S
        return self.send(items[0])

    def send(self, item: WaitingImage) -> float:
        """Upload one image that was taken from the outbox; return how long to wait before the next one."""
        try:
            self._store.put(item.object_key, item.body, content_type=item.content_type)
        except PermanentError as error:
            self._count("refused")
            self._problems.report(_cause(error, item), f"deferring an image (attempt {item.attempts + 1}): {error}")
            self._outbox.images.nack([item], delay_s=REFUSED_DELAY_S * 2 ** min(item.attempts, 16))
            self._refused_in_a_row += 1
            return min(_REFUSED_PAUSE_S * self._refused_in_a_row, IDLE_S)
        except TransientError as error:
            self._count("failed")
            self._problems.report(_cause(error, item), f"pausing uploads: {error}")
            self.backoff.failed()
            self._outbox.images.release([item])
            return self.backoff.remaining_s()
        except Exception as error:
            # Only this image may be the cause, so the others are tried first.
            self._count("failed")
            self.faults.log(error, "storing an image failed")
            self.backoff.failed()
            self._outbox.images.nack([item], delay_s=REFUSED_DELAY_S * 2 ** min(item.attempts, 5))
            return self.backoff.remaining_s()
        self._outbox.images.ack([item])
        self._count("stored")
        self.backoff.succeeded()
        self._refused_in_a_row = 0
        self._problems.recovered("uploads work again")
        return 0.0

    def _count(self, result: UploadResult) -> None:
        if self._counters is not None:
            self._counters.uploads[result].add()


def _cause(error: Exception, item: WaitingImage) -> str:
    """Return a key that is equal for images that fail for the same reason."""
    return f"{type(error).__name__} {str(error).replace(item.object_key, '')}"
