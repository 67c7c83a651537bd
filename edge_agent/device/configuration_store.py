"""The last configuration of a managed device, on its disk: the agent starts with it, also without a network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.device.private_file import PreparedFile
from shared.cameras import DeviceCamera

logger = logging.getLogger(__name__)

FILE_NAME = "configuration.json"


class StoredConfiguration(BaseModel):
    """The cameras of one version, as the cloud sent them: passwords stay sealed."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: int = Field(ge=1)
    cameras: list[DeviceCamera]


class ConfigurationStore:
    """One file, replaced in one step. It is readable for the agent's user only."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def load(self) -> StoredConfiguration | None:
        """Return the configuration; None where there is none, or where it cannot be read, which is logged."""
        try:
            return StoredConfiguration.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror
        except ValidationError as error:
            # Without the input: it may be anything.
            reason = str(error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"])
        logger.error(
            "%s cannot be used (%s); starting without cameras of the API until it sends them again", self._path, reason
        )
        return None

    def prepare(self, configuration: StoredConfiguration) -> PreparedFile:
        """Write the configuration beside the present one; ``commit`` replaces it. Raises TransientError."""
        return PreparedFile(self._path, configuration.model_dump_json().encode() + b"\n")
