"""Output decoders: from a model's output tensors to boxes, classes and scores.

To add one: a module in this folder and a row in ``table``.
"""
