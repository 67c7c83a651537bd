"""Builds a camera's pipeline from its settings, for ``run`` and ``replay`` alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence

import cv2

from edge_agent.anpr.engines import open_engine
from edge_agent.anpr.stage import PlateStage
from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.detect.blobs import BlobDetector
from edge_agent.detect.composite import BlobFrameDetector, CompositeDetector, Detector, ModelFrameDetector
from edge_agent.detect.factory import open_detector
from edge_agent.detect.gate import DetectionGate
from edge_agent.detect.models.catalogue import ModelFile, resolve_model
from edge_agent.detect.settings import unknown_class
from edge_agent.detect.slicing import InferenceSlicer
from edge_agent.events.rules.detection import DetectionRule
from edge_agent.events.rules.motion import MotionEpisodes
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.pipeline.context import CameraContext
from edge_agent.pipeline.pipeline import CameraPipeline, DetectionStage, TrackingStage
from edge_agent.track.tracker import ByteTracker
from shared.errors import ConfigurationError, TransientError

logger = logging.getLogger(__name__)

NO_MODEL = "none"


def find_camera_model(camera: CameraSettings, *, source: str, places: ModelPlaces) -> ModelFile | None:
    """Return the detection model of a camera with this source; None means blob detection, or no detection.

    Synthetic scenes use blob detection unless a model is configured: models do not recognise drawn vehicles.
    Raises as ``find_model`` does.
    """
    if camera.mode == "motion":
        return None
    name = camera.model.name
    if name is None and source.startswith("synthetic:"):
        name = NO_MODEL
    return find_model(name, labels=camera.model.labels, places=places)


def find_model(name: str | None, *, labels: str | None, places: ModelPlaces) -> ModelFile | None:
    """Return the model called ``name``, or the default model; None means blob detection.

    A missing default model is logged as a warning, and blob detection is used. Raises ConfigurationError or
    TransientError where a model that is configured by name is not available.
    """
    if name == NO_MODEL:
        return None
    try:
        return resolve_model(name, labels=labels, models_location=places.location, cache_dir=places.cache_dir)
    except (ConfigurationError, TransientError) as error:
        if name is not None:
            raise
        logger.warning("no detection model; moving objects are reported as `object` (blob detection): %s", error)
        return None


def build_detector(camera: CameraSettings, model: ModelFile | None) -> Detector:
    """Return the detector of a camera; blob detection without a model."""
    blobs = BlobFrameDetector(BlobDetector())
    if model is None:
        return blobs
    image_detector = open_detector(model, settings=camera.detect)
    slicing = camera.detect.slicing
    slicer = InferenceSlicer(image_detector, settings=slicing) if slicing.enabled else None
    detector = ModelFrameDetector(image_detector, slicer)
    return CompositeDetector(detector, blobs) if camera.detect.blobs_for_unknown else detector


def class_problems(camera: CameraSettings, labels: Sequence[str]) -> list[str]:
    """Return one problem per class in a zone, a line or the plate settings that the camera's model does not detect."""
    named = [(f"events.{kind}", item) for kind in ("zones", "lines") for item in getattr(camera.events, kind)]
    problems = [
        f"{kind} ({item.name}).classes: {problem}"
        for kind, item in named
        for name in item.classes
        if (problem := unknown_class(name, labels)) is not None
    ]
    if camera.anpr.enabled and "vehicle_classes" in camera.anpr.model_fields_set:
        found = (unknown_class(name, labels) for name in camera.anpr.vehicle_classes)
        problems += [f"anpr.vehicle_classes: {problem}" for problem in found if problem is not None]
    return problems


def _require_known_classes(camera: CameraSettings, labels: Sequence[str], *, fell_back: bool) -> None:
    """Raise ConfigurationError for classes that the model does not detect; only warn where the model is missing."""
    problems = class_problems(camera, labels) if camera.mode == "tracking" else []
    if problems and not fell_back:
        raise ConfigurationError(f"camera {camera.id}: {'; '.join(problems)}")
    for problem in problems:
        logger.warning("camera %s: no effect while the model is missing: %s", camera.id, problem)


def build_pipeline(
    camera: CameraSettings, *, context: CameraContext, model: ModelFile | None, run_id: str
) -> CameraPipeline:
    """Build one camera's pipeline. ``run_id`` makes track uids differ between restarts.

    Raise ConfigurationError where a zone, a line or the plate settings name a class that the model does not detect.
    """
    # One OpenCV thread: its idle workers spin after each small operation and take cores from the model, about 10 % of
    # the total time on two cores (YOLO11n, 14.3 against 12.9 ms a frame). Each camera has its own thread anyway.
    cv2.setNumThreads(1)
    detector = build_detector(camera, model if camera.mode != "motion" else None)
    _require_known_classes(camera, detector.labels, fell_back=model is None and camera.model.name is None)
    return CameraPipeline(
        motion=AdaptiveBackground(settings=camera.motion),
        episodes=MotionEpisodes(camera.events) if camera.motion_events else None,
        objects=_object_stage(camera, detector, run_id, context),
        builder=context.event_builder(camera, detector.model_info),
        context=context,
    )


def _object_stage(
    camera: CameraSettings, detector: Detector, run_id: str, context: CameraContext
) -> TrackingStage | DetectionStage | None:
    gate = DetectionGate(camera.gate)
    match camera.mode:
        case "motion":
            return None
        case "detection":
            return DetectionStage(detector=detector, rule=DetectionRule(camera.events), gate=gate, timer=context.timer)
        case "tracking":
            lifecycle = TrackLifecycle(
                settings=camera.events,
                labels=detector.labels,
                uid_prefix=f"{camera.id}-{run_id}",
                stationarity=Stationarity(),
            )
            tracker = ByteTracker(camera.track, labels=detector.labels)
            plates = build_plate_stage(camera, detector.labels, uid_prefix=f"{camera.id}-{run_id}", live=context.live)
            return TrackingStage(
                detector=detector, tracker=tracker, lifecycle=lifecycle, gate=gate, timer=context.timer, plates=plates
            )


def build_plate_stage(
    camera: CameraSettings, labels: Collection[str], *, uid_prefix: str, live: bool
) -> PlateStage | None:
    """Return the plate stage of a camera, or None where it is disabled; ``labels`` are those of its detector."""
    settings = camera.anpr
    if not settings.enabled:
        return None
    engine = open_engine(settings.engine, threads=settings.threads, streaming=True)
    return PlateStage(
        settings=settings,
        detector=engine.detector,
        reader=engine.reader,
        uid_prefix=uid_prefix,
        detects_vehicles=not set(settings.vehicle_classes).isdisjoint(labels),
        clock=time.perf_counter if live else None,
    )
