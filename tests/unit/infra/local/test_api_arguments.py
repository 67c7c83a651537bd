"""How the one-machine stack starts uvicorn."""

from __future__ import annotations

import uvicorn

from infra.local.stack import api_arguments


def test_no_client_chooses_the_address_it_is_counted_under() -> None:
    """Only a proxy that the deployment names may say for whom it asks; uvicorn itself reads who that is."""
    assert uvicorn_reads_forwarded_headers(api_arguments(8069, {"FORWARDED_ALLOW_IPS": "127.0.0.1"}))
    assert not uvicorn_reads_forwarded_headers(api_arguments(8069, {}))


def uvicorn_reads_forwarded_headers(arguments: list[str]) -> bool:
    """Return what uvicorn's own command line makes of the arguments after its name."""
    assert arguments[0] == "uvicorn"
    with uvicorn.main.make_context("uvicorn", arguments[1:]) as context:
        return context.params["proxy_headers"]
