"""Delivers what is due. Each webhook has a thread of its own, so none waits for another's receiver.

The threads share one database connection, which none holds during a request. A thread attempts its deliveries one after
another, in the order in which they became due, and ends with the first failure, because the webhook is then paused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cloud_functions.db.connect import Database
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.attempts import (
    Attempted,
    claim_webhooks,
    disable_webhook,
    due_deliveries,
    record_failure,
    record_success,
    release_webhook,
)
from cloud_functions.db.webhooks.record import ClaimedWebhook, DueDelivery
from cloud_functions.fanout.webhooks.formats import body_of
from cloud_functions.fanout.webhooks.receiver import Receiver, Response
from cloud_functions.fanout.webhooks.retry import retry_after
from cloud_functions.fanout.webhooks.signature import signed_headers
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from shared.clock import Clock
from shared.errors import VedetteError
from shared.retry import FaultLog

log = logging.getLogger(__name__)

_BATCH: Final = 20
"""Deliveries that a thread has in memory. A document has at most 256 KB."""
_RELEASE_AGAIN_S: Final = 0.5
_AFTER_ERROR: Final = timedelta(seconds=60)


class Dispatcher:
    """Makes the deliveries of this process."""

    def __init__(
        self,
        *,
        database: Database,
        secrets: WebhookSecrets,
        open_receiver: Callable[[str], Receiver],
        clock: Clock,
        budget_s: float = 20.0,
    ) -> None:
        """``budget_s``: time after which a thread begins no further batch. Another invocation then continues."""
        self._database = database
        self._secrets = secrets
        self._open_receiver = open_receiver
        self._clock = clock
        self._budget_s = budget_s
        self._lock = threading.Lock()
        self._faults = FaultLog(log)

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """Run the block in a transaction on the connection that all threads share. Keep it short."""
        with self._lock, self._database.transaction() as connection:
            yield connection

    def close(self) -> None:
        """Close the connection that the threads share. They must have ended."""
        with self._lock:
            self._database.close()

    def start(self) -> list[threading.Thread]:
        """Start a thread for each webhook that has something due and no thread, here or in another process."""
        with self.transaction() as connection:
            claimed = claim_webhooks(connection)
        threads = [
            threading.Thread(target=self._run, args=(webhook,), name=f"webhook-{webhook.id}", daemon=True)
            for webhook in claimed
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, claimed: ClaimedWebhook) -> None:
        end_s = time.monotonic() + self._budget_s
        webhook: ClaimedWebhook | None = claimed
        try:
            while webhook is not None:
                self._deliver(webhook, end_s)
                # What became due while this thread was about to end was left to it by the others.
                webhook = self._claim_again(webhook) if time.monotonic() < end_s else None
        except VedetteError as error:  # the database
            log.warning("deliveries to a webhook ended: %s", error)
            self._release_later(webhook or claimed, end_s)
        except Exception as error:
            self._faults.log(error, "deliveries to a webhook failed")

    def _release_later(self, webhook: ClaimedWebhook, end_s: float) -> None:
        """End the lease as soon as the database answers, so that deliveries do not wait until it ends by itself."""
        while time.monotonic() < end_s:
            try:
                with self.transaction() as connection:
                    release_webhook(connection, webhook)
            except VedetteError:
                time.sleep(_RELEASE_AGAIN_S)
            else:
                return

    def _claim_again(self, webhook: ClaimedWebhook) -> ClaimedWebhook | None:
        with self.transaction() as connection:
            return next(iter(claim_webhooks(connection, webhook.id)), None)

    def _deliver(self, webhook: ClaimedWebhook, end_s: float) -> None:
        """Deliver until nothing is due, an attempt fails, or the time is up; then release the webhook."""
        try:
            secrets = [self._secrets.open(wrapped, webhook.id) for wrapped in webhook.secrets]
        except VedetteError as error:
            log.warning("webhook %s is not delivered to: %s", webhook.id, error)
            with self.transaction() as connection:
                release_webhook(connection, webhook, pause=_AFTER_ERROR)
            return
        failures = webhook.failures
        with self._open_receiver(webhook.url) as receiver:
            while time.monotonic() < end_s:
                with self.transaction() as connection:
                    batch = due_deliveries(connection, webhook, limit=_BATCH)
                if not batch:
                    break
                for delivery in batch:
                    if not self._attempt(webhook, receiver, delivery, secrets=secrets, failures=failures):
                        return
                    failures = 0
        with self.transaction() as connection:
            release_webhook(connection, webhook)

    def _attempt(
        self,
        webhook: ClaimedWebhook,
        receiver: Receiver,
        delivery: DueDelivery,
        *,
        secrets: list[bytes],
        failures: int,
    ) -> bool:
        """Attempt one delivery and record what came of it; return whether it succeeded."""
        body, content_type = body_of(delivery, webhook_format=webhook.format)
        headers = signed_headers(
            str(delivery.message_id), body, timestamp_s=int(self._clock.now().timestamp()), secrets=secrets
        )
        started_s = time.monotonic()
        response = receiver.post(body, {"Content-Type": content_type, **headers})
        duration_ms = round((time.monotonic() - started_s) * 1000)
        attempted = Attempted(response.status, response.error, duration_ms)
        with self.transaction() as connection:
            if response.error is None:
                record_success(connection, webhook, delivery, attempted, failures=failures)
            else:
                self._record_failure(connection, webhook, delivery, attempted, response, failures=failures)
        return response.error is None

    def _record_failure(
        self,
        connection: Connection,
        webhook: ClaimedWebhook,
        delivery: DueDelivery,
        attempted: Attempted,
        response: Response,
        *,
        failures: int,
    ) -> None:
        retry = retry_after(delivery.attempts + 1, failures=failures + 1, requested_s=response.retry_after_s)
        is_disabled = record_failure(connection, webhook, delivery, attempted, retry=retry)
        if response.is_gone:
            disable_webhook(connection, webhook.id, reason="gone")
            is_disabled = True
        outcome = "it is now disabled" if is_disabled else f"pausing for {retry.pause.total_seconds():.0f} s"
        log.warning("a delivery to webhook %s failed (%s %s): %s", webhook.id, response.error, response.status, outcome)
