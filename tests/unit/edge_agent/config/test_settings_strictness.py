"""What holds for every setting of the agent, found by walking through all of them."""

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
    """So that what the base refuses is refused everywhere."""
    assert issubclass(model, Settings)
    assert model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize("truth", [True, False, [True], [[False, 0.5]], {"car": True}])
def test_true_and_false_are_no_numbers(truth: Any) -> None:
    """Not by themselves, nor in a list or a table of numbers, in any setting."""
    assert NUMBERS
    for model, name in NUMBERS:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({name: truth})
        here = [error["msg"] for error in caught.value.errors() if error["loc"] == (name,)]
        assert any("cannot be true or false" in message for message in here), (model, name)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_infinity_is_no_setting(number: float) -> None:
    """TOML has ``inf`` and ``nan``; no limit, interval or share can be one."""
    for model, name in NUMBERS:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({name: number})
        assert any(error["loc"][0] == name for error in caught.value.errors()), (model, name)


def test_yes_or_no_is_still_taken_where_it_belongs() -> None:
    """Directly and in settings within settings."""
    camera = {"id": "a", "source": "usb:0", "enabled": False, "stream": {"pace": True}, "snapshots": {}}
    config = AgentConfig.model_validate(
        {"site_id": "s", "device_id": "d", "mqtt": {"host": "h", "tls": True}, "cameras": [camera]}
    )
    assert config.mqtt.tls
    assert config.cameras[0].stream.pace
    assert not config.cameras[0].enabled


@pytest.mark.parametrize("ignored", [[[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]], [[0.2, 0.2]] * 4])
def test_an_ignored_area_has_an_area(ignored: list[list[float]]) -> None:
    """A polygon that covers nothing would ignore nothing."""
    with pytest.raises(ValidationError, match="the polygon has no area"):
        MotionSettings.model_validate({"ignore": [ignored]})


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a", "b"], ""), (["a", "A", "b"], "a and A"), (["b", "a", "b", "Straße", "STRASSE"], "b, Straße and STRASSE")],
)
def test_names_that_differ_in_capital_letters_alone_are_alike(names: list[str], said: str) -> None:
    """Each group of them is named."""
    assert duplicate_names(names) == said
