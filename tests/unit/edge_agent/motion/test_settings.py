"""Validation of the motion settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.motion.settings import MotionSettings


def test_points_are_parsed_from_lists() -> None:
    """Lists, as in TOML, become points."""
    settings = MotionSettings.model_validate({"ignore": [[[0, 0], [0.5, 0], [0.5, 1]]]})
    assert settings.ignore[0][1].x == 0.5


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"ignore": [[[0, 0], [1.5, 0], [1, 1]]]}, "ignore"),
        ({"ignore": [[[0, 0], [1, 1]]]}, "ignore"),
        ({"threshold": 0}, "threshold"),
        ({"working_width_px": 10}, "working_width_px"),
        ({"min_area_ratio": -1}, "min_area_ratio"),
        ({"lighting_jump_ratio": 0}, "lighting_jump_ratio"),
        ({"sensitivity": 3}, "sensitivity"),
    ],
)
def test_invalid_setting_is_rejected_by_name(setting: dict[str, Any], named: str) -> None:
    """The error names the setting."""
    with pytest.raises(ValidationError, match=named):
        MotionSettings.model_validate(setting)


def test_every_setting_has_a_description() -> None:
    """The reference page is generated from the descriptions."""
    assert [name for name, field in MotionSettings.model_fields.items() if not field.description] == []
