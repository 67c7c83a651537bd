"""The catalogue of published models: names, addresses, hashes, licences.

To add one: an entry here, with the sha256 that its publisher declares or that you verified. A test checks its form.
"""

from __future__ import annotations

from dataclasses import dataclass

_MEDIAPIPE = "https://storage.googleapis.com/mediapipe-assets/tasks/testdata/"
_CORAL = "https://github.com/google-coral/test_data/raw/release-frogfish/"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One published model."""

    name: str
    url: str
    sha256: str | None
    """None if no hash is known: the hash of the first download is then recorded and required later."""
    size_bytes: int | None
    licence: str
    label_set: str
    """A key of ``labels.LABEL_SETS``."""
    input_size: tuple[int, int]
    """Width and height."""
    description: str
    default: bool = False


ENTRIES: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="ssd_mobilenet_v1_coco_quant",
        url=_MEDIAPIPE + "metadata/ssd_mobilenet_v1_no_metadata.tflite",
        sha256="e4b118e5e4531945de2e659742c7c590f7536f8d0ed26d135abcfe83b4779d13",
        size_bytes=4_183_312,
        licence="Apache-2.0",
        label_set="coco90",
        input_size=(300, 300),
        description="SSD MobileNet v1: small and fast, up to 10 objects per image",
        default=True,
    ),
    ModelEntry(
        name="efficientdet_lite0",
        url=_MEDIAPIPE + "vision/coco_efficientdet_lite0_v1_1.0_quant_2021_09_06.tflite",
        sha256="dee1b4af055a644804d5594442300ecc9e4f7080c25b7c044c98f527eeabb6cf",
        size_bytes=None,
        licence="Apache-2.0",
        label_set="coco90",
        input_size=(320, 320),
        description="EfficientDet-Lite0: slower, more accurate by its publisher's figures, up to 25 objects per image",
    ),
    *(
        ModelEntry(
            name=stem + suffix,
            url=f"{_CORAL}{stem}{suffix}.tflite",
            sha256=None,
            size_bytes=None,
            licence="Apache-2.0",
            label_set="coco90",
            input_size=size,
            description=description + (", compiled for the Coral Edge TPU" if suffix else ""),
        )
        for stem, size, description in (
            ("ssd_mobilenet_v2_coco_quant_postprocess", (300, 300), "SSD MobileNet v2, up to 20 objects per image"),
            ("ssdlite_mobiledet_coco_qat_postprocess", (320, 320), "SSDLite MobileDet, up to 100 objects per image"),
        )
        for suffix in ("", "_edgetpu")
    ),
)
