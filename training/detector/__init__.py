"""The plate detector: generated scenes, real frames, network, training, and export to TFLite."""
