"""A managed device without hardware and network: its cameras work, unless the test names a fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.config.managed import ManagedCameraRules
from edge_agent.device.commands import CommandFailedError, InProgressError
from edge_agent.device.configuration_store import ConfigurationStore
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.managed_cameras import ManagedCameras
from edge_agent.pipeline.supervisor import Cameras
from shared.clock import ManualClock
from shared.commands import ConfigureCommand
from shared.errors import PermanentError
from shared.ids import Uuid7Generator
from tests.support.edge.builders import frame
from tests.support.edge.fake_source import FakeSource
from tests.support.waiting import eventually


class ManagedDevice:
    """A managed device whose sources work, unless ``faults`` names an error for one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.faults: dict[str, str | Exception] = {}
        self.opened: list[str] = []
        self.sources: dict[str, FakeSource] = {}
        self.key_is_lost = False
        self.step_s = 0.5
        """Seconds that pass each time that the outcome of a configuration is asked for."""
        self.changes = 0
        self.numbers = itertools.count(1)
        self.cameras = Cameras(
            device=DeviceContext(site_id="hq", device_id="gate-01", publish=lambda _: None, new_id=Uuid7Generator()),
            places=ModelPlaces(location=None, cache_dir=Path("/nonexistent")),
            clock=self.clock,
            open_source=self._open,
        )
        self.managed = ManagedCameras(
            cameras=self.cameras,
            rules=ManagedCameraRules(open_password=self._open_password, timezone="UTC"),
            store=ConfigurationStore(folder),
            clock=self.clock,
            on_change=self._count,
        )

    def _open_password(self, sealed: str, camera_id: str) -> str:
        if self.key_is_lost:
            raise PermanentError("the password was sealed to another key")
        return sealed

    def _open(self, text: str, **_: Any) -> FakeSource:
        self.opened.append(text)
        fault = self.faults.get(text)
        if isinstance(fault, Exception):
            raise fault
        source = self.sources[text] = FakeSource([] if fault else [frame(1, seed=1)])
        if fault:
            source.state, source.error = "offline", fault
        return source

    def _count(self) -> None:
        self.changes += 1

    def start(self, *pinned: CameraSettings) -> ManagedDevice:
        self.managed.start(pinned)
        return self

    def close(self) -> None:
        self.managed.close()
        self.cameras.stop()

    def begin(self, version: int, *cameras: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """Send a configuration; the result waits for its outcome, as the dispatcher does, and returns the fields."""
        command = ConfigureCommand.model_validate(
            {"command_id": f"c-{next(self.numbers)}", "version": version, "cameras": cameras}
        )
        outcome: list[dict[str, Any]] = []

        def done() -> bool:
            try:
                outcome.append(dict(self.managed.configure(command)))
            except InProgressError:
                self.clock.advance(self.step_s)
                return False
            except CommandFailedError as error:
                outcome.append({"error": str(error)} | dict(error.fields))
            return True

        def wait() -> dict[str, Any]:
            if not outcome:
                eventually(done)
            return outcome[0]

        done()
        return wait

    def configure(self, version: int, *cameras: dict[str, Any]) -> dict[str, Any]:
        return self.begin(version, *cameras)()

    def running(self) -> dict[str, str | None]:
        return {name: each.camera.source for name, each in sorted(self.cameras.progress().items())}

    def stored_version(self) -> int:
        stored = ConfigurationStore(self.folder).load()
        return 0 if stored is None else stored.version


def api_camera(camera_id: str = "gate", source: str = "usb:0", **fields: Any) -> dict[str, Any]:
    """Return a camera as the cloud sends it; it reports motion only, so it needs no model."""
    return {"camera_id": camera_id, "source": source, "enable_detection": False} | fields
