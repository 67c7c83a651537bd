"""``synthetic:gate``: a generated scene to try the agent on, with the exact truth about every frame."""

from edge_agent.camera.synthetic.gate import SyntheticGate, VehicleTruth
from edge_agent.camera.synthetic.source import SyntheticSource, open_synthetic

__all__ = ["SyntheticGate", "SyntheticSource", "VehicleTruth", "open_synthetic"]
