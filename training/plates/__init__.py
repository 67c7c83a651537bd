"""Pictures of number plates with known text: ``render_plate(rng)`` and its parts."""

from training.plates.render import RenderedPlate, render_detailed, render_plate

__all__ = ["RenderedPlate", "render_detailed", "render_plate"]
