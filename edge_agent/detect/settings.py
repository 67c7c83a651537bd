"""Settings of object detection."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from shared.errors import ConfigurationError
from shared.geometry import Ratio
from shared.settings import Settings

logger = logging.getLogger(__name__)

ClassName = Annotated[str, Field(min_length=1, max_length=200)]


class ClassSettings(Settings):
    """Per-class overrides. Omitted settings have the general value."""

    min_score: Ratio | None = Field(
        default=None, description="Minimum score of a detection of this class. Raising it drops weaker detections."
    )
    min_area_ratio: Ratio | None = Field(
        default=None,
        description="Minimum box area for this class, as a fraction of the image. Raising it drops small or distant "
        "objects.",
    )
    max_area_ratio: Ratio | None = Field(
        default=None,
        description="Maximum box area for this class, as a fraction of the image. Raising it keeps larger boxes.",
    )


class SlicingSettings(Settings):
    """Sliced inference: run the model again on full-resolution crops around moving regions."""

    enabled: bool = Field(
        default=False,
        description="Run the model on crops around moving regions as well as on the whole frame. Off, the model only "
        "sees the whole frame, scaled down to its input.",
    )
    max_crops: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Maximum crops per frame. Raising it finds more small, distant objects; each crop costs one more "
        "inference.",
    )
    margin_ratio: float = Field(
        default=0.5,
        ge=0,
        le=3,
        description="Margin added on each side of a moving region, as a fraction of the region's size. Raising it "
        "gives the model more context and makes objects smaller in its input.",
    )
    min_gain: float = Field(
        default=1.5,
        ge=1,
        le=10,
        description="Minimum magnification of a crop over the whole frame, as the model sees it. Raising it skips "
        "crops that add little detail.",
    )


class DetectSettings(Settings):
    """Which detections are kept, and how the model is run."""

    min_score: Ratio = Field(
        default=0.25,
        description="Minimum score of a detection. The tracker uses weak detections to continue existing tracks, so "
        "raise it only against false alarms that tracking does not suppress.",
    )
    classes: list[ClassName] = Field(
        default_factory=list, description="Class names to detect; empty means all classes of the model."
    )
    per_class: dict[ClassName, ClassSettings] = Field(default_factory=dict[str, ClassSettings])
    min_area_ratio: Ratio = Field(
        default=0.0,
        description="Minimum box area, as a fraction of the image. Raising it drops small or distant objects.",
    )
    max_area_ratio: Ratio = Field(
        default=1.0, description="Maximum box area, as a fraction of the image. Raising it keeps larger boxes."
    )
    nms_iou: Ratio = Field(
        default=0.5,
        description="Maximum intersection over union of two boxes of one class; beyond it, only the box with the "
        "higher score is kept. Raising it keeps objects that are close together and more duplicates.",
    )
    duplicate_iou: Ratio = Field(
        default=0.85,
        description="Maximum intersection over union of two boxes of different classes; beyond it, only the box with "
        "the higher score is kept. Raising it keeps more objects that the model reports under two "
        "classes.",
    )
    max_detections: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Maximum detections kept per image, highest score first. Raising it keeps more objects in crowded "
        "scenes.",
    )
    threads: int = Field(
        default=2, ge=1, le=64, description="CPU threads per inference. Raising it shortens an inference on idle cores."
    )
    runtime: Literal["litert", "tflite"] | None = Field(
        default=None, description="Inference runtime. By default the first one that is installed."
    )
    edgetpu: bool | None = Field(
        default=None,
        description="Run the model on a Coral Edge TPU. By default only models whose name ends in `_edgetpu`.",
    )
    slicing: SlicingSettings = Field(default_factory=SlicingSettings)
    blobs_for_unknown: bool = Field(
        default=False, description="Report moving objects that the model does not detect as class `object`."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, data: Any) -> Any:
        """Accept, for one release, the setting that ``slicing`` replaces. ``slicing`` wins where both are given."""
        if not isinstance(data, dict) or "look" not in data:
            return data
        given = dict(cast("dict[str, Any]", data))
        logger.warning("detect.look is replaced by detect.slicing and will be rejected in the next release")
        former = given.pop("look")
        given.setdefault("slicing", former)
        return given

    @model_validator(mode="after")
    def _sizes_are_ordered(self) -> DetectSettings:
        for name, low, high in self._size_limits():
            if low >= high:
                raise ValueError(f"{name}min_area_ratio ({low:g}) must be below max_area_ratio ({high:g})")
        return self

    def _size_limits(self) -> list[tuple[str, float, float]]:
        limits = [("", self.min_area_ratio, self.max_area_ratio)]
        for name, own in self.per_class.items():
            low = self.min_area_ratio if own.min_area_ratio is None else own.min_area_ratio
            high = self.max_area_ratio if own.max_area_ratio is None else own.max_area_ratio
            limits.append((f"class '{name}': ", low, high))
        return limits


def check_class_names(settings: DetectSettings, labels: tuple[str, ...]) -> None:
    """Raise ConfigurationError, with similar names, for a class that the model does not have."""
    for name in (*settings.classes, *settings.per_class):
        if (problem := unknown_class(name, labels)) is not None:
            raise ConfigurationError(problem)


def unknown_class(name: str, labels: Sequence[str]) -> str | None:
    """Return an error text with similar names for a class that is not in ``labels``; None if it is."""
    if name in labels:
        return None
    near = difflib.get_close_matches(name, labels, n=3, cutoff=0.6)
    known = " or ".join(f"'{candidate}'" for candidate in near)
    return f"the model has no class '{name}'" + (f"; did you mean {known}?" if near else _all_names(labels))


def _all_names(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8])
    return f"; its classes are {shown}" + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
