"""``synthetic:gate``: a generated scene for trying out the agent, with exact ground truth for every frame."""

from edge_agent.camera.synthetic.gate import SyntheticGate, VehicleTruth
from edge_agent.camera.synthetic.source import SyntheticSource, check_synthetic, open_synthetic

__all__ = ["SyntheticGate", "SyntheticSource", "VehicleTruth", "check_synthetic", "open_synthetic"]
