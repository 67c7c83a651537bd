"""Opens a model file as a detector; selects runtime, output decoder and labels from the file's contents."""

from __future__ import annotations

import hashlib

from edge_agent.detect.decoders.table import OutputDecoder, choose_output_decoder
from edge_agent.detect.model_detector import ModelDetector
from edge_agent.detect.models.catalogue import ModelFile
from edge_agent.detect.models.labels import Labels, coco_labels, fit_labels, labels_in_model
from edge_agent.detect.runtimes.table import open_model
from edge_agent.detect.settings import DetectSettings
from shared.errors import ConfigurationError
from shared.events import ModelInfo

EDGETPU_SUFFIX = "_edgetpu"


def open_detector(model: ModelFile, *, settings: DetectSettings, labels: Labels | None = None) -> ModelDetector:
    """Load a model and return its detector; raise ConfigurationError if the file or its labels are unusable.

    Class names come from ``labels`` if given, else from the model store, the model's metadata, or COCO if the number
    of classes matches.
    """
    edgetpu = model.path.stem.endswith(EDGETPU_SUFFIX) if settings.edgetpu is None else settings.edgetpu
    inference_model = open_model(model.path, threads=settings.threads, edgetpu=edgetpu, runtime=settings.runtime)
    try:
        decoder = choose_output_decoder(inference_model)
        return ModelDetector(
            inference_model=inference_model,
            decoder=decoder,
            labels=_labels_for(model, decoder, labels),
            model_info=ModelInfo(model_type=model.name, version=_version(model)),
            settings=settings,
        )
    except ConfigurationError as error:
        inference_model.close()
        raise ConfigurationError(f"{model.path.name}: {error}") from error


def _labels_for(model: ModelFile, decoder: OutputDecoder, given: Labels | None) -> Labels:
    if given is not None:
        return fit_labels(given, decoder.class_counts, source="the list given")
    if model.labels is not None:
        return fit_labels(model.labels, decoder.class_counts, source=model.labels_source)
    packed = labels_in_model(model.path)
    if packed is not None:
        return fit_labels(packed, decoder.class_counts, source="its metadata")
    coco = coco_labels(decoder.class_counts)
    if coco is None:
        how_many = f"its {decoder.class_counts[0]} classes" if decoder.class_counts else "its classes"
        raise ConfigurationError(
            f"the file does not contain the names of {how_many}: give a labels file (--labels FILE)"
        )
    return coco


def _version(model: ModelFile) -> str:
    return hashlib.sha256(model.path.read_bytes()).hexdigest()[:12]
