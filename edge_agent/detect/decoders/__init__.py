"""Output decoders: from a model's output tensors to boxes, classes and scores.

To add one: a file here and a row in ``table``.
"""
