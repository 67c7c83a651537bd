"""Checks that every setting of the agent passes, found by walking all settings models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from edge_agent.camera.capture import UsbOptions
from edge_agent.camera.synthetic.source import GateOptions
from edge_agent.config import AgentConfig
from edge_agent.motion.settings import MotionSettings
from shared.settings import Settings, duplicate_names


def _inner_types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _inner_types(inner)


def _all_settings(model: type[BaseModel]) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = {model}
    for field in model.model_fields.values():
        for inner in _inner_types(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in found:
                found |= _all_settings(inner)
    return found


ALL = sorted({*_all_settings(AgentConfig), UsbOptions, GateOptions}, key=lambda model: model.__name__)
NUMBERS = [
    (model, name)
    for model in ALL
    for name, field in model.model_fields.items()
    if {int, float} & set(_inner_types(field.annotation)) and bool not in set(_inner_types(field.annotation))
]


@pytest.mark.parametrize("model", ALL)
def test_every_settings_model_has_the_same_base(model: type[BaseModel]) -> None:
    """The checks of the base class apply to every settings model."""
    assert issubclass(model, Settings)
    assert model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize("truth", [True, False, [True], [[False, 0.5]], {"car": True}])
def test_booleans_are_rejected_as_numbers(truth: Any) -> None:
    """Numeric settings reject booleans, also in lists and tables."""
    assert NUMBERS
    for model, name in NUMBERS:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({name: truth})
        here = [error["msg"] for error in caught.value.errors() if error["loc"] == (name,)]
        assert any("cannot be true or false" in message for message in here), (model, name)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_infinity_and_nan_are_rejected(number: float) -> None:
    """TOML has ``inf`` and ``nan``, but no numeric setting accepts them."""
    for model, name in NUMBERS:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({name: number})
        assert any(error["loc"][0] == name for error in caught.value.errors()), (model, name)


def test_boolean_settings_accept_booleans() -> None:
    """They are accepted at the top level and in nested settings."""
    camera = {"id": "a", "source": "usb:0", "enabled": False, "stream": {"pace": True}, "snapshots": {}}
    config = AgentConfig.model_validate(
        {"site_id": "s", "device_id": "d", "mqtt": {"host": "h", "tls": True}, "cameras": [camera]}
    )
    assert config.mqtt.tls
    assert config.cameras[0].stream.pace
    assert not config.cameras[0].enabled


@pytest.mark.parametrize("ignored", [[[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]], [[0.2, 0.2]] * 4])
def test_an_ignored_polygon_without_area_is_rejected(ignored: list[list[float]]) -> None:
    """A polygon without area would ignore nothing."""
    with pytest.raises(ValidationError, match="the polygon has no area"):
        MotionSettings.model_validate({"ignore": [ignored]})


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a", "b"], ""), (["a", "A", "b"], "a and A"), (["b", "a", "b", "Straße", "STRASSE"], "b, Straße and STRASSE")],
)
def test_names_that_differ_only_in_case_are_duplicates(names: list[str], said: str) -> None:
    """Each group of duplicates is returned."""
    assert duplicate_names(names) == said
