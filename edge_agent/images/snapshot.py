"""Snapshots: draws an event's objects on its frame, and encodes the image and its thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from edge_agent.images.annotate import BoxLabel, PlateLabel, draw_boxes, draw_motion, draw_plates
from edge_agent.images.jpeg import EncodedImage, ImageFormat, encode, thumbnail
from edge_agent.types import Frame, Image, Motion
from shared.settings import Settings

DEFAULT_THUMBNAIL_WIDTH_PX = 320


class SnapshotSettings(Settings):
    """Images that are sent with events."""

    enabled: bool = Field(default=True, description="Send an annotated picture with each event.")
    image_format: ImageFormat = Field(
        default="jpg", description="File format of pictures. `png` is lossless and about ten times larger than `jpg`."
    )
    quality: int = Field(
        default=85,
        ge=1,
        le=100,
        description="Compression quality of `jpg` and `webp`. Raising it gives sharper and larger files.",
    )
    max_width_px: int | None = Field(
        default=None,
        ge=64,
        description="Maximum width in pixels; wider pictures are scaled down. Raising it gives larger files. If "
        "omitted, pictures keep their size.",
    )
    thumbnail_width_px: int | None = Field(
        default=DEFAULT_THUMBNAIL_WIDTH_PX,
        ge=32,
        description="Width of thumbnails in pixels. Raising it gives larger files.",
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An encoded image; ``thumbnail`` is a small JPEG, or None if thumbnails are disabled."""

    image: EncodedImage
    thumbnail: bytes | None


class SnapshotRenderer:
    """Draws and encodes the snapshots of one camera.

    The methods for annotated images return None if ``SnapshotSettings.enabled`` is false. Thread-safe.
    """

    def __init__(self, settings: SnapshotSettings) -> None:
        self._settings = settings

    def objects(self, frame: Frame, labels: Sequence[BoxLabel]) -> Snapshot | None:
        """Return the frame with boxes and labels."""
        return self._annotated(draw_boxes(frame.picture.bgr(), labels)) if self._settings.enabled else None

    def plate(self, frame: Frame, label: PlateLabel) -> Snapshot | None:
        """Return the frame with a plate's box and text."""
        return self._annotated(draw_plates(frame.picture.bgr(), [label])) if self._settings.enabled else None

    def motion(self, frame: Frame, motion: Motion) -> Snapshot | None:
        """Return the frame with the moving areas and the capture time."""
        if not self._settings.enabled:
            return None
        return self._annotated(draw_motion(frame.picture.bgr(), motion.mask, timestamp=frame.timestamp))

    def plain(self, frame: Frame, *, thumbnail: bool | None = None) -> Snapshot:
        """Return the frame without annotations, even if images of events are disabled.

        ``thumbnail``: whether to make one; None for what the settings say.
        """
        width_px = self._settings.thumbnail_width_px
        if thumbnail is not None:
            width_px = (width_px or DEFAULT_THUMBNAIL_WIDTH_PX) if thumbnail else None
        return self._encode(frame.picture.bgr(), thumbnail_width_px=width_px)

    def _annotated(self, image: Image) -> Snapshot:
        return self._encode(image, thumbnail_width_px=self._settings.thumbnail_width_px)

    def _encode(self, image: Image, *, thumbnail_width_px: int | None) -> Snapshot:
        settings = self._settings
        encoded = encode(
            image, image_format=settings.image_format, quality=settings.quality, max_width_px=settings.max_width_px
        )
        width_px = thumbnail_width_px
        return Snapshot(image=encoded, thumbnail=None if width_px is None else thumbnail(image, width_px=width_px).data)
