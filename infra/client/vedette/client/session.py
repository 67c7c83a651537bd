"""One request: credentials, retries and errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from vedette.client.errors import ApiError, AuthenticationError, ConnectionFailedError, error_of

Parameters = Mapping[str, Any]

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
_LOGIN: Final = "/api/auth/login-json"
_REFRESH: Final = "/api/auth/refresh"
_LOGOUT: Final = "/api/auth/logout"


@dataclass(frozen=True, slots=True)
class Login:
    """A user's name and password. The password is not in ``repr``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, or an access token that another program got. It is not in ``repr``."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Retries:
    """When a request is sent again.

    Reads: after a lost connection, and after 429, 502, 503 and 504. Changes: only after 429, and if no connection could
    be made, because otherwise they may have been carried out.
    """

    attempts: int = 4
    """Attempts in all; 1 never repeats."""
    first_pause_s: float = 0.5
    """It doubles with each attempt, with jitter. ``Retry-After`` takes its place."""
    longest_pause_s: float = 30.0
    """A longer ``Retry-After`` raises the error at once."""


class Session:
    """Sends requests to one server. Thread-safe."""

    def __init__(
        self,
        base_url: str,
        *,
        credentials: Login | ApiKey | None,
        timeout_s: float,
        retries: Retries,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"base_url must be an http or https address, not {base_url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("base_url must not contain a user or a password")
        self.base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.Client(timeout=timeout_s, follow_redirects=True, headers={"User-Agent": "vedette-client"})
        self._lock = threading.Lock()
        self._access_token: str | None = None
        self._refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Session({self.base_url!r}, credentials={self._credentials!r})"

    def close(self) -> None:
        """End the log-in, and close all connections."""
        if self._refresh_token is not None:
            with suppress(httpx.HTTPError):  # the token expires by itself
                self._http.post(self.base_url + _LOGOUT, json={"refresh_token": self._refresh_token})
            self._access_token = self._refresh_token = None
        self._http.close()

    def json(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON of a response."""
        with self.open(method, path, parameters, body=body, headers=headers) as response:
            response.read()
            return response.json()

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Generator[httpx.Response]:
        """Yield a successful response whose body is not read yet.

        Raises:
            ApiError: the server answered with an error.
            ConnectionFailedError: no answer arrived.
        """
        request = self._http.build_request(
            method, self.base_url + path, params=_present(parameters), json=body, headers=dict(headers or {})
        )
        response = self._answer(request)
        try:
            yield response
        except httpx.HTTPError as error:
            raise _failed(error) from error
        finally:
            response.close()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """Send until the answer is final; log in, or refresh the log-in, once if the server asks for it."""
        renewed = False
        attempt = 1
        while True:
            token = self._authorize(request)
            try:
                response = self._http.send(request, stream=True)
            except httpx.HTTPError as error:
                is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if attempt >= self._retries.attempts or not (is_unsent or request.method in _SAFE_METHODS):
                    raise _failed(error) from error
                pause_s = self._pause_s(attempt)
            else:
                if response.is_success:
                    return response
                problem = _problem(response)
                if isinstance(problem, AuthenticationError) and isinstance(self._credentials, Login) and not renewed:
                    renewed = True
                    self._renew(token)
                    continue
                pause_s = self._pause_after(problem, request, attempt)
            self._sleep(pause_s)
            attempt += 1

    def _pause_after(self, problem: ApiError, request: httpx.Request, attempt: int) -> float:
        """Return the pause before the next attempt; raise ``problem`` if there is none."""
        repeatable = problem.status in _RETRIED_STATUSES if request.method in _SAFE_METHODS else problem.status == 429
        pause_s = problem.retry_after_s if problem.retry_after_s is not None else self._pause_s(attempt)
        if not repeatable or attempt >= self._retries.attempts or pause_s > self._retries.longest_pause_s:
            raise problem
        return pause_s

    def _pause_s(self, attempt: int) -> float:
        longest_s = min(self._retries.first_pause_s * 2 ** (attempt - 1), self._retries.longest_pause_s)
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def _authorize(self, request: httpx.Request) -> str | None:
        """Set the credentials of a request; return the access token, if it has one."""
        match self._credentials:
            case ApiKey(text):
                request.headers["Authorization"] = f"Bearer {text}"
                return None
            case Login():
                if self._access_token is None:
                    self._renew(None)
                token = self._access_token
                request.headers["Authorization"] = f"Bearer {token}"
                return token
            case _:
                return None

    def _renew(self, rejected: str | None) -> None:
        """Get another access token than the rejected one: by the refresh token, else by logging in."""
        with self._lock:
            if self._access_token not in {None, rejected}:
                return  # another thread has
            refresh_token, self._access_token, self._refresh_token = self._refresh_token, None, None
            if refresh_token is not None:
                try:
                    self._take_tokens(_REFRESH, {"refresh_token": refresh_token})
                except ApiError:
                    pass
                else:
                    return
            assert isinstance(self._credentials, Login)  # noqa: S101 - only these are renewed
            self._take_tokens(_LOGIN, {"username": self._credentials.username, "password": self._credentials.password})

    def _take_tokens(self, path: str, body: Mapping[str, str]) -> None:
        try:
            response = self._http.post(self.base_url + path, json=body)
        except httpx.HTTPError as error:
            raise _failed(error) from error
        if not response.is_success:
            raise _problem(response)
        tokens = response.json()
        self._access_token, self._refresh_token = tokens["access_token"], tokens["refresh_token"]


def _present(parameters: Parameters | None) -> dict[str, str]:
    """Return the parameters that are not None, as the API writes them."""
    return {name: _text(value) for name, value in (parameters or {}).items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _problem(response: httpx.Response) -> ApiError:
    try:
        response.read()
        body: Any = response.json()
    except (httpx.HTTPError, ValueError):
        body = None
    finally:
        response.close()
    return error_of(response.status_code, body, response.headers)


def _failed(error: httpx.HTTPError) -> ConnectionFailedError:
    # httpx's texts name neither headers nor bodies, which hold the secrets.
    return ConnectionFailedError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
