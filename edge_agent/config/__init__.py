"""The agent's configuration: its settings, and how its TOML file is loaded.

``settings.py`` composes the settings of the other folders, ``toml_file.py`` reads the file, ``problems.py`` describes
what is wrong with it, and ``load.py`` is the entry point. May import the settings of every folder below ``pipeline``.
"""

from edge_agent.config.load import ModelPlaces, keeps_pictures, load_config, model_places, source_text
from edge_agent.config.settings import AgentConfig, CameraSettings, Mode, ModelSettings

__all__ = [
    "AgentConfig",
    "CameraSettings",
    "Mode",
    "ModelPlaces",
    "ModelSettings",
    "keeps_pictures",
    "load_config",
    "model_places",
    "source_text",
]
