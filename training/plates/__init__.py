"""Pictures of number plates with known text: ``render_plate(rng)`` and what it is made of."""

from training.plates.render import RenderedPlate, render_detailed, render_plate

__all__ = ["RenderedPlate", "render_detailed", "render_plate"]
