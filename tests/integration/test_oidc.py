"""Tokens of an OpenID Connect issuer on a real HTTP server, through the API."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from cloud_functions.api.security.oidc.issuer_keys import IssuerKeys
from cloud_functions.api.security.oidc.settings import OidcSettings
from cloud_functions.api.security.oidc.tokens import OidcTokens
from cloud_functions.api.security.user_authorizer import UserAuthorizer
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from shared.clock import ManualClock
from shared.errors import ConfigurationError
from tests.support.api_calls import Answer, ApiCalls
from tests.support.camera_groups import fill_two_groups
from tests.support.oidc_issuer import AUDIENCE, OidcIssuer, oidc_issuer
from tests.support.users import PASSWORD, add_user, bearer, users_api

Result = TypeVar("Result")
VARIABLES = {"DATABASE_URL": "postgresql://unused", "SNAPSHOT_BUCKET": "unused", "API_AUTHENTICATION": "users"}
OIDC = {"OIDC_ISSUER": "https://issuer.example", "OIDC_AUDIENCE": AUDIENCE, "OIDC_ROLES": "staff=viewer"}


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with oidc_issuer() as running:
        yield running


async def _inline(call: Callable[[], Result]) -> Result:
    return call()


@contextmanager
def _api(url: str, issuer: OidcIssuer, *, clock: ManualClock | None = None, **fields: Any) -> Generator[ApiCalls]:
    given: dict[str, Any] = {"issuer": issuer.url, "audience": AUDIENCE}
    given["roles"] = {"staff": "viewer", "bosses": "admin"}
    settings = OidcSettings(**(given | fields))
    keys = IssuerKeys(issuer.url, clock=clock or ManualClock())
    with users_api(url, oidc=OidcTokens(settings, keys=keys, run=_inline)) as api:
        yield api


def _me(api: ApiCalls, token: str) -> Answer:
    return api.call("GET", "/api/auth/me", headers=bearer(token))


def test_groups_of_the_issuer_become_a_role(database_url: str, issuer: OidcIssuer) -> None:
    """The strongest role of several groups; a user without a known group may nothing."""
    with _api(database_url, issuer) as api:
        me = _me(api, issuer.token(groups=["staff", "others"], preferred_username="ana")).json()
        assert (me["kind"], me["name"], me["user"]) == ("user", "ana", None)
        assert "events:read" in me["permissions"]
        assert "users:write" not in me["permissions"]
        boss = _me(api, issuer.token(groups=["staff", "bosses"], email="boss@example.org")).json()
        assert boss["name"] == "boss@example.org"
        assert "users:write" in boss["permissions"]
        for groups in (["others"], [], None, "nobody", {"staff": 1}, [1]):
            answer = _me(api, issuer.token(groups=groups))
            assert (answer.status, answer.error().code) == (403, "forbidden"), groups
        path = [path for path in issuer.requests if path == "/keys"]
        assert len(path) == 1


def test_nested_claims_and_names(database_url: str, issuer: OidcIssuer) -> None:
    """Roles in a nested claim, as Keycloak issues them, or in a claim whose name has dots, as Auth0 does."""
    with _api(database_url, issuer, groups_claim="realm_access.roles", username_claim="sub") as api:
        me = _me(api, issuer.token(realm_access={"roles": ["staff"]})).json()
        assert (me["name"], "events:read" in me["permissions"]) == ("00u1", True)
        assert _me(api, issuer.token(claims={"realm_access.roles": "staff other"})).status == 200


def test_users_are_limited_to_camera_groups_of_their_token(database_url: str, issuer: OidcIssuer) -> None:
    """Slugs in a claim of its own: a user with unknown ones, or without the claim, sees no camera; with ``*`` all."""
    fill_two_groups(database_url)
    with _api(database_url, issuer, camera_groups_claim="vedette.cameras") as api:
        for given, cameras in (
            (["north"], ["north-camera"]),
            (["north", "nowhere", 1], ["north-camera"]),
            ("north south", ["north-camera", "south-camera"]),
            (["nowhere"], []),
            (["North"], []),
            ([], []),
            (None, []),
            ({"north": 1}, []),
            (["*"], ["north-camera", "southern-loose", "south-camera"]),
        ):
            token = issuer.token(groups=["bosses"], vedette={"cameras": given})
            answer = api.call("GET", "/api/v1/cameras", headers=bearer(token))
            assert {camera["slug"] for camera in answer.json()["data"]} == set(cameras), given
            total = api.call("GET", "/api/events", headers=bearer(token)).json()["total"]
            assert total == (12 if given == ["*"] else 3 * len(cameras)), given
        token = issuer.token(groups=["bosses"])
        answer = api.call("POST", "/api/plates/watchlists", body='{"name": "x"}', headers=bearer(token))
        assert (answer.status, answer.error().code) == (403, "limited-to-groups")


def test_camera_groups_are_mapped_like_roles(database_url: str, issuer: OidcIssuer) -> None:
    """From the groups that make the role; a group that the map does not name gives no camera."""
    fill_two_groups(database_url)
    variables = VARIABLES | OIDC | {"OIDC_CAMERA_GROUPS": "gate=north, gate=attic, yard = south, all=*"}
    settings = ApiSettings.from_environment(variables).oidc
    assert settings is not None
    fields: dict[str, Any] = {"camera_groups_claim": settings.camera_groups_claim}
    fields["camera_groups"] = settings.camera_groups
    with _api(database_url, issuer, **fields) as api:
        for groups, total in ((["gate"], 1), (["gate", "yard"], 2), ([], 0), (["north"], 0), (["yard", "all"], 3)):
            token = issuer.token(groups=["staff", *groups])
            assert api.call("GET", "/api/v1/cameras", headers=bearer(token)).json()["meta"]["total"] == total, groups


def _signed(header: dict[str, Any], claims: dict[str, Any], key: bytes | None) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    signature = b"" if key is None else hmac.new(key, text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256"])
def test_invalid_tokens_are_rejected(database_url: str, issuer: OidcIssuer, algorithm: str) -> None:
    """Another issuer, audience or key, an expired or future token, no signature, and the public key as a secret."""
    issuer.rotate("first", algorithm=algorithm)
    with oidc_issuer() as other, _api(database_url, issuer) as api:
        other.rotate("first", algorithm=algorithm)
        now = int(time.time())
        claims = issuer.claims(groups=["bosses"])
        pem = issuer.public_pem()
        header, payload, signature = issuer.token(groups=["staff"]).split(".")
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        tokens = {
            "another key": other.token(groups=["bosses"], iss=issuer.url),
            "another issuer": issuer.token(groups=["bosses"], iss=other.url),
            "another audience": issuer.token(groups=["bosses"], aud="another-api"),
            "no audience": issuer.token(groups=["bosses"], aud=None),
            "expired": issuer.token(groups=["bosses"], exp=now - 120),
            "without end": issuer.token(groups=["bosses"], exp=None),
            "not yet valid": issuer.token(groups=["bosses"], nbf=now + 600),
            "no subject": issuer.token(groups=["bosses"], sub=None),
            "no signature": f"{header}.{payload}.",
            "other claims": f"{header}.{forged}.{signature}",
            "alg none": _signed({"alg": "none", "kid": "first"}, claims, None),
            "alg None": _signed({"alg": "None", "kid": "first"}, claims, None),
            "public key as a secret": _signed({"alg": "HS256", "kid": "first"}, claims, pem),
            "unknown key id": issuer.token(groups=["bosses"], headers={"kid": "nowhere"}),
            "key id is a number": _signed({"alg": algorithm, "kid": 1}, claims, pem),
        }
        for name, token in tokens.items():
            answer = _me(api, token)
            assert (answer.status, answer.error().code) == (401, "invalid-token"), name
        assert _me(api, issuer.token(groups=["bosses"], aud=["x", AUDIENCE])).status == 200


def test_replaced_keys_are_found(database_url: str, issuer: OidcIssuer) -> None:
    """A token with a new key is accepted at once, one with the old key no more; invented ids load the keys rarely."""
    clock = ManualClock()
    with _api(database_url, issuer, clock=clock) as api:
        old = issuer.token(groups=["staff"])
        assert _me(api, old).status == 200
        issuer.rotate("second", keep=True)
        clock.advance(11)
        assert _me(api, issuer.token("second", groups=["staff"])).status == 200
        assert _me(api, old).status == 200
        loads = issuer.requests.count("/keys")
        for number in range(20):
            _me(api, issuer.token("second", groups=["staff"], headers={"kid": f"invented-{number}"}))
        assert issuer.requests.count("/keys") == loads
        issuer.rotate("third", algorithm="RS256")
        clock.advance(601)
        assert _me(api, old).status == 401
        assert _me(api, issuer.token("third", groups=["staff"])).status == 200


def test_an_issuer_that_does_not_answer(database_url: str, issuer: OidcIssuer) -> None:
    """503 until its keys are known; afterwards the known keys stay valid. Other users can log in meanwhile."""
    clock = ManualClock()
    add_user(database_url)
    document = issuer.documents.pop("/.well-known/openid-configuration")
    with _api(database_url, issuer, clock=clock) as api:
        token = issuer.token(groups=["staff"])
        assert _me(api, token).status == 503
        assert api.post("/api/auth/login-json", {"username": "ana", "password": PASSWORD}).status == 200
        issuer.documents["/.well-known/openid-configuration"] = document
        clock.advance(11)
        assert _me(api, token).status == 200
        issuer.documents.clear()
        clock.advance(700)
        assert _me(api, token).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://another.example"},
        {"jwks_uri": "http://another.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
def test_a_wrong_discovery_document_is_not_used(
    database_url: str, issuer: OidcIssuer, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Of another issuer, or with keys at an address that is not safe."""
    issuer.documents["/.well-known/openid-configuration"] |= change
    with _api(database_url, issuer) as api:
        assert _me(api, issuer.token(groups=["staff"])).status == 503
    assert "cannot be loaded" in caplog.text
    assert "/keys" not in issuer.requests


def test_a_shared_secret_among_the_keys_is_left_out(database_url: str, issuer: OidcIssuer) -> None:
    """A symmetric key verifies nothing, even if the issuer publishes it."""
    secret = base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")
    issuer.documents["/keys"]["keys"].append({"kty": "oct", "kid": "shared", "k": secret, "alg": "HS256"})
    with _api(database_url, issuer) as api:
        token = _signed({"alg": "HS256", "kid": "shared"}, issuer.claims(groups=["bosses"]), b"s" * 32)
        assert _me(api, token).status == 401
        assert _me(api, issuer.token(groups=["staff"])).status == 200


def test_the_settings_make_the_authorizer() -> None:
    """With an issuer, its tokens are accepted besides those of users."""
    settings = ApiSettings.from_environment(VARIABLES | OIDC | {"OIDC_ROLES": "a b=viewer, x=y=admin"})
    assert settings.oidc is not None
    assert settings.oidc.roles == {"a b": "viewer", "x=y": "admin"}
    authorizer = lambda_app(settings).state.dependencies.authorizer
    assert isinstance(authorizer, UserAuthorizer)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OIDC_AUDIENCE": ""}, "OIDC_AUDIENCE is not set"),
        ({"OIDC_ROLES": ""}, "OIDC_ROLES is not set"),
        ({"OIDC_ROLES": "staff"}, "OIDC_ROLES must be GROUP=ROLE"),
        ({"OIDC_ROLES": "staff=owner"}, "with the roles admin, operator, viewer"),
        ({"OIDC_ROLES": "=viewer"}, "OIDC_ROLES must be GROUP=ROLE"),
        ({"OIDC_ISSUER": "http://issuer.example"}, "OIDC_ISSUER must be an https URL"),
        ({"OIDC_ISSUER": "https://user:password@issuer.example"}, "without a login"),
        ({"OIDC_ISSUER": "https://[issuer"}, "OIDC_ISSUER is not a URL"),
        ({"OIDC_CAMERA_GROUPS_CLAIM": "a..b"}, "OIDC_CAMERA_GROUPS_CLAIM must be the name of a claim"),
        ({"OIDC_CAMERA_GROUPS": "gate"}, "OIDC_CAMERA_GROUPS must be GROUP=CAMERA_GROUP"),
        ({"OIDC_CAMERA_GROUPS": "gate="}, "OIDC_CAMERA_GROUPS must be GROUP=CAMERA_GROUP"),
        ({"OIDC_CAMERA_GROUPS": ","}, "OIDC_CAMERA_GROUPS names no group"),
        ({"OIDC_GROUPS_CLAIM": "a..b"}, "OIDC_GROUPS_CLAIM must be the name of a claim"),
        ({"API_AUTHENTICATION": "gateway"}, "OIDC_ISSUER requires API_AUTHENTICATION=users"),
    ],
)
def test_a_wrong_setting_stops_the_api(variables: dict[str, str], message: str) -> None:
    """One line that names the variable, without what is in it."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        ApiSettings.from_environment(VARIABLES | OIDC | variables)
    assert "password" not in str(raised.value)
