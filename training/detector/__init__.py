"""The plate detector: generated scenes and real frames, the network, its training and its export to TFLite."""
