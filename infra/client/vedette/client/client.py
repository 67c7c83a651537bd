"""``Client``: the API of one Vedette, by resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from vedette.client.administration import ApiKeys, Audit, Users
from vedette.client.cameras import Cameras
from vedette.client.devices import Commands, Devices
from vedette.client.events import Events
from vedette.client.plates import Plates, Watchlists
from vedette.client.replays import Replays
from vedette.client.retention import Retention
from vedette.client.session import ApiKey, Login, Retries, Session
from vedette.client.snapshots import Snapshots
from vedette.client.types import HealthHealthResponse, MeResponse
from vedette.client.webhooks import Webhooks


class Client:
    """A client of one server. Thread-safe; close it, or use it in a ``with`` statement.

    ``username`` and ``password`` log in with the first request, and again when the log-in has expired. ``api_key`` is
    an API key, or an access token that another program got. Without either, requests are anonymous. No secret is in
    ``repr``, an error or a log line of this package.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8069",
        *,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        """Raises ValueError for an address that is not one or contains credentials, and for two kinds of these."""
        self._session = Session(
            base_url,
            credentials=_credentials(username, password, api_key),
            timeout_s=timeout_s,
            retries=retries or Retries(),
        )
        self.events = Events(self._session)
        self.plates = Plates(self._session)
        self.watchlists = Watchlists(self._session)
        self.cameras = Cameras(self._session)
        self.snapshots = Snapshots(self._session)
        self.devices = Devices(self._session)
        self.commands = Commands(self._session)
        self.users = Users(self._session)
        self.api_keys = ApiKeys(self._session)
        self.audit = Audit(self._session)
        self.webhooks = Webhooks(self._session)
        self.replays = Replays(self._session)
        self.retention = Retention(self._session)

    def health(self) -> HealthHealthResponse:
        """Return the state of the API and of the services it needs. Raises UnavailableError if the database is away."""
        return self._session.json("GET", "/health")

    def me(self) -> MeResponse:
        """Return who the caller is, and what the caller may do."""
        return self._session.json("GET", "/api/auth/me")

    def change_password(self, current: str, new: str) -> None:
        """Replace the password of the user, which ends the user's other sessions."""
        self._session.json("PUT", "/api/auth/password", body={"current_password": current, "new_password": new})

    def choose_password(self, reset_token: str, new: str) -> None:
        """Choose the password of a new user, or of one whose password was reset. Needs no credentials."""
        body = {"reset_token": reset_token, "new_password": new}
        self._session.json("POST", "/api/auth/reset-password", body=body)

    def request(self, method: str, path: str, *, parameters: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Return the JSON of any route, for those without a method of their own. The path begins with a slash."""
        return self._session.json(method, path, parameters, body=body)

    def close(self) -> None:
        """Log out, and close all connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._session!r})"


def _credentials(username: str | None, password: str | None, api_key: str | None) -> Login | ApiKey | None:
    if api_key is not None:
        if username is not None or password is not None:
            raise ValueError("give either api_key, or username and password")
        return ApiKey(api_key)
    if (username is None) != (password is None):
        raise ValueError("give both username and password")
    return None if username is None or password is None else Login(username, password)
