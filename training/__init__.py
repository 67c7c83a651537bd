"""Training of the shipped TFLite models. Not imported by the product."""
