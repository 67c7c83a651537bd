"""The agent that runs where the cameras are. Imports shared; never anything of the cloud's."""

from shared import __version__ as __version__
