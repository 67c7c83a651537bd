"""What a camera's owner may say about detection."""

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
    """What holds for one class instead of the general setting; what is left out follows that."""

    min_score: Ratio | None = Field(default=None, description="Weaker detections of this class are dropped.")
    min_area_ratio: Ratio | None = Field(default=None, description="Smaller boxes of this class are dropped.")
    max_area_ratio: Ratio | None = Field(default=None, description="Larger boxes of this class are dropped.")


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
    """What counts as a detection, and how the model is run."""

    min_score: Ratio = Field(
        default=0.25,
        description="Below this nothing leaves the detector. The tracker makes use of weak detections of what it "
        "already follows, so raise this only against false alarms that tracking does not stop.",
    )
    classes: list[ClassName] = Field(default_factory=list, description="Only these classes count; empty means all.")
    per_class: dict[ClassName, ClassSettings] = Field(default_factory=dict[str, ClassSettings])
    min_area_ratio: Ratio = Field(default=0.0, description="Smaller boxes are dropped; share of the picture's area.")
    max_area_ratio: Ratio = Field(default=1.0, description="Larger boxes are dropped; share of the picture's area.")
    nms_iou: Ratio = Field(
        default=0.5, description="Of two boxes of one class that overlap more than this, only the better stays."
    )
    duplicate_iou: Ratio = Field(
        default=0.85,
        description="The same for two boxes of different classes: one thing that the model gives two names.",
    )
    max_detections: int = Field(default=100, ge=1, le=1000, description="Only the best so many of a picture count.")
    threads: int = Field(default=2, ge=1, le=64, description="CPU threads for one inference.")
    runtime: Literal["litert", "tflite"] | None = Field(
        default=None, description="Which inference runtime; left out, the first that is installed."
    )
    edgetpu: bool | None = Field(
        default=None, description="Run on a Coral Edge TPU; left out, when the model's name ends in `_edgetpu`."
    )
    slicing: SlicingSettings = Field(default_factory=SlicingSettings)
    blobs_for_unknown: bool = Field(
        default=False, description="Moving things that the model does not recognise become `object` detections."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, data: Any) -> Any:
        """Accept, for one release, the setting that ``slicing`` replaces. ``slicing`` wins where both are given."""
        if not isinstance(data, dict) or "look" not in data:
            return data
        given = dict(cast("dict[str, Any]", data))
        logger.warning("detect.look is replaced by detect.slicing and will be refused in the next release")
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
    """Raise ConfigurationError, with what was probably meant, for a class that the model does not know."""
    for name in (*settings.classes, *settings.per_class):
        if (problem := unknown_class(name, labels)) is not None:
            raise ConfigurationError(problem)


def unknown_class(name: str, labels: Sequence[str]) -> str | None:
    """Return what is wrong with a class that is not among ``labels``, with the nearest names; None where it is."""
    if name in labels:
        return None
    near = difflib.get_close_matches(name, labels, n=3, cutoff=0.6)
    known = " or ".join(f"'{candidate}'" for candidate in near)
    return f"the model knows no class '{name}'" + (f"; did you mean {known}?" if near else _all_names(labels))


def _all_names(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:8])
    return f"; it knows {shown}" + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
