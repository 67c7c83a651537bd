"""Retention: how long events are kept, and legal holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import EffectiveResponse, HoldResponse, PolicyResponse, PreviewResponse

PATH: Final = "/api/v1/retention"


class Retention:
    """``client.retention``. A policy without a target is for the events of all cameras."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def effective(
        self, camera_id: str | None = None, event_type: str | None = None, *, site_id: str | None = None
    ) -> EffectiveResponse:
        """Return what decides how long the events of a camera and type are kept, or of any other ones."""
        parameters = {"camera_id": camera_id, "event_type": event_type, "site_id": site_id}
        return self._session.json("GET", f"{PATH}/effective", parameters)["data"]

    def preview(self) -> PreviewResponse:
        """Return how many events the next run deletes."""
        return self._session.json("GET", f"{PATH}/preview")["data"]

    def policies(self) -> Iterator[PolicyResponse]:
        """Yield the policies, oldest first."""
        return by_page(self._session, f"{PATH}/policies", {"page_size": 100})

    def create_policy(
        self,
        *,
        camera_id: str | None = None,
        group_id: str | None = None,
        site_id: str | None = None,
        event_type: str | None = None,
        max_age_days: int | None = None,
        max_bytes: int | None = None,
    ) -> PolicyResponse:
        """Create a policy. Raises ConflictError if another one has the same target."""
        body = {"camera_id": camera_id, "group_id": group_id, "site_id": site_id, "event_type": event_type}
        body |= {"max_age_days": max_age_days, "max_bytes": max_bytes}
        return self._session.json("POST", f"{PATH}/policies", body=body)["data"]

    def policy(self, policy_id: int) -> PolicyResponse:
        """Return one policy."""
        return self._session.json("GET", f"{PATH}/policies/{policy_id}")["data"]

    def replace_policy(
        self,
        policy_id: int,
        *,
        camera_id: str | None = None,
        group_id: str | None = None,
        site_id: str | None = None,
        event_type: str | None = None,
        max_age_days: int | None = None,
        max_bytes: int | None = None,
    ) -> PolicyResponse:
        """Replace the target and the limits of a policy. Raises ConflictError if another one has the same target."""
        body = {"camera_id": camera_id, "group_id": group_id, "site_id": site_id, "event_type": event_type}
        body |= {"max_age_days": max_age_days, "max_bytes": max_bytes}
        return self._session.json("PUT", f"{PATH}/policies/{policy_id}", body=body)["data"]

    def delete_policy(self, policy_id: int) -> None:
        """Delete a policy."""
        self._session.json("DELETE", f"{PATH}/policies/{policy_id}")

    def holds(self, *, active: bool | None = None) -> Iterator[HoldResponse]:
        """Yield legal holds, newest first: all, or only active ones, or only released and expired ones."""
        return by_page(self._session, f"{PATH}/holds", {"active": active, "page_size": 100})

    def place_hold(
        self,
        name: str,
        reason: str,
        *,
        events: Sequence[str] = (),
        cameras: Sequence[str] = (),
        start_time: str | None = None,
        end_time: str | None = None,
        expires_at: str | None = None,
    ) -> HoldResponse:
        """Protect events, or what cameras (without ``cameras``: all) produced in a time, from every deletion."""
        body = {"name": name, "reason": reason, "events": [*events], "cameras": [*cameras]}
        times = {"start_time": start_time, "end_time": end_time, "expires_at": expires_at}
        return self._session.json("POST", f"{PATH}/holds", body=body | times)["data"]

    def hold(self, hold_id: int) -> HoldResponse:
        """Return one hold."""
        return self._session.json("GET", f"{PATH}/holds/{hold_id}")["data"]

    def release_hold(self, hold_id: int, reason: str) -> HoldResponse:
        """Release a hold. Raises ConflictError if it was released before."""
        return self._session.json("POST", f"{PATH}/holds/{hold_id}/release", body={"reason": reason})["data"]
