"""The cameras of a managed device: applies the configurations that the API sends, proves them, and rolls back.

One thread applies configurations, so that commands for cameras are answered meanwhile. A newer configuration replaces
the one that is being proved. The disk always has the last configuration that was proved. One that was refused because
cameras did not answer is tried again when they do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.config import CameraSettings
from edge_agent.config.managed import ManagedCameraRules, RejectedConfigurationError, camera_settings, check_cameras
from edge_agent.device.commands import CommandFailedError, InProgressError, ReplyFields
from edge_agent.device.configuration_store import ConfigurationStore, StoredConfiguration
from edge_agent.pipeline.camera_worker import CameraProgress
from edge_agent.pipeline.proof import CameraProof, Verdict
from edge_agent.pipeline.silent_cameras import Fault, RefusedVersion, SilentCameras
from edge_agent.pipeline.supervisor import Cameras
from shared.clock import Clock
from shared.commands import ConfigureCommand, ConnectionFailure, TestConnectionCommand
from shared.errors import TransientError
from shared.heartbeat import ConfigurationHealth

logger = logging.getLogger(__name__)

WRONG_CREDENTIALS: Final[ConnectionFailure] = "wrong_credentials"
PINNED = "the device's own file (agent.toml) has a camera of this id"
_POLL_INTERVAL_S = 0.1
_RETRY_POLL_INTERVAL_S = 0.5
_MAX_ERROR_CHARS = 1000

Effective = Callable[[Sequence[CameraSettings]], list[CameraSettings]]
"""Returns the cameras as this device runs them, for example without pictures where there is no bucket."""


@dataclass(frozen=True, slots=True)
class _Proved:
    """A configuration that works, or the one that the device started with."""

    version: int = 0
    cameras: Sequence[CameraSettings] = ()


@dataclass(frozen=True, slots=True)
class _Outcome:
    error: str | None = None
    fields: ReplyFields = field(default_factory=dict[str, object])


@dataclass(slots=True)
class _Rollout:
    """A configuration that is being applied, or waits for its turn."""

    command: ConfigureCommand
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set when a newer version has arrived, or the agent stops."""
    outcome: _Outcome | None = None


class ManagedCameras:
    """Owns what ``Cameras`` runs on a managed device. Thread-safe."""

    def __init__(
        self,
        *,
        cameras: Cameras,
        rules: ManagedCameraRules,
        store: ConfigurationStore,
        clock: Clock,
        effective: Effective = list,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_change`` is called after a configuration was applied or refused."""
        self._cameras = cameras
        self._rules = rules
        self._store = store
        self._clock = clock
        self._effective = effective
        self._on_change = on_change
        self._changed = threading.Condition()
        self._applying = threading.Lock()
        """Held while the cameras of the file and those of the API are joined and applied."""
        self._pinned: Sequence[CameraSettings] = ()
        self._applied: Sequence[CameraSettings] = ()
        """Cameras of the API that run now: those that are being proved, or those of ``_proved``."""
        self._proved = _Proved()
        self._before: Mapping[str, CameraProgress] | None = None
        """The cameras' progress under ``_proved``, while other settings are being proved."""
        self._newest: _Rollout | None = None
        self._waiting: RefusedVersion | None = None
        """The newest version, if only cameras without an answer keep it from being used."""
        self._silent = SilentCameras()
        self._rollouts: dict[str, _Rollout] = {}
        """Rollouts by the ids of the commands that wait for them."""
        self._health = ConfigurationHealth(version=0)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="configuration", daemon=True)

    def start(self, pinned: Sequence[CameraSettings]) -> None:
        """Run the cameras of the device's own file, and those of the last configuration on its disk."""
        self._pinned = pinned
        stored = self._store.load()
        cameras, problems = self._usable(stored)
        version = 0 if stored is None or problems else stored.version
        for problem in problems:
            logger.error("the stored configuration: %s", problem)
        self._proved = _Proved(version, cameras)
        self._health = ConfigurationHealth(version=version, error=_shortened(problems) or self._note(cameras))
        self._apply(cameras)
        logger.info("configured through the API; version %d, %d camera(s)", version, len(cameras))
        self._thread.start()

    def replace_pinned(self, cameras: Sequence[CameraSettings]) -> list[str]:
        """Run other cameras of the device's own file; return the ids of the cameras that changed."""
        with self._applying:
            self._pinned = cameras
            changed = self._cameras.apply(self._joined())
        with self._changed:
            if self._health.rejected_version is None and self._proved.version:
                self._health = self._health.model_copy(update={"error": self._note(self._proved.cameras)})
        return changed

    def health(self) -> ConfigurationHealth:
        """Return the version that runs, and the one that was refused, for the heartbeat."""
        with self._changed:
            return self._health

    def test_connection(self, command: TestConnectionCommand) -> ReplyFields:
        """Test a camera as the API has it, also if its configuration was refused; one of the own file as it runs.

        Raises as ``Cameras.test_connection``, and RejectedConfigurationError for a camera that cannot run here.
        """
        is_pinned = command.camera_id in {camera.id for camera in self._pinned}
        if command.camera is None or is_pinned:
            return self._cameras.test_connection(command)
        return self._cameras.test_camera(camera_settings(command.camera, rules=self._rules), command)

    def configure(self, command: ConfigureCommand) -> ReplyFields:
        """Handle a ``configure`` command.

        Raises InProgressError until its outcome is known, and CommandFailedError where it was refused.
        """
        with self._changed:
            rollout = self._rollouts.get(command.command_id) or self._admitted(command)
            if rollout is None:
                return {"config_version": self._proved.version}
            if rollout.outcome is None:
                self._rollouts[command.command_id] = rollout
                raise InProgressError(f"version {command.version} is being applied")
            self._rollouts.pop(command.command_id, None)
        if rollout.outcome.error is not None:
            raise CommandFailedError(rollout.outcome.error, fields=rollout.outcome.fields)
        return rollout.outcome.fields

    def close(self) -> None:
        """End the thread. Cameras that are being proved keep running; the disk has the last proved configuration."""
        with self._changed:
            self._closing = True
            if self._newest is not None:
                self._newest.interrupted.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(30.0)

    def _admitted(self, command: ConfigureCommand) -> _Rollout | None:
        """Return the rollout of a command, or None where its version runs already. The caller holds the lock."""
        newest = self._newest
        if newest is None and command.version == self._proved.version:
            return None
        latest = self._proved.version if newest is None else newest.command.version
        if newest is not None and command.version == latest:
            return newest
        if command.version < latest:
            raise CommandFailedError(
                f"version {command.version} is older than version {latest}, which this device has",
                fields={"config_version": self._proved.version, "rejected_version": command.version},
            )
        if newest is not None:
            newest.outcome = self._interrupted(newest)
            newest.interrupted.set()
        self._newest = rollout = _Rollout(command)
        self._waiting = None
        self._changed.notify_all()
        return rollout

    def _run(self) -> None:
        while True:
            with self._changed:
                timeout_s = None if self._waiting is None else _RETRY_POLL_INTERVAL_S
                self._changed.wait_for(lambda: self._closing or self._newest is not None, timeout_s)
                rollout = self._newest
                if self._closing:
                    return
            if rollout is None:
                self._retry_if_due()
                continue
            outcome = self._attempt(rollout)
            with self._changed:
                rollout.outcome = rollout.outcome or outcome
                if self._newest is rollout:
                    self._newest = None
            self._on_change()

    def _retry_if_due(self) -> None:
        """Begin to roll the refused version out again, if it is time and the cameras that were silent answer."""
        waiting, now_s = self._waiting, self._clock.monotonic()
        if waiting is None or not waiting.is_due(now_s):
            return
        answer, least_s = self._answer(waiting.awaited)
        with self._changed:
            waiting.postpone(now_s, least_s=least_s)
            if answer and self._waiting is waiting and self._newest is None:
                logger.info("trying configuration %d again: its cameras answer", waiting.command.version)
                self._newest = _Rollout(waiting.command)

    def _answer(self, cameras: Sequence[CameraSettings]) -> tuple[bool, float]:
        """Return whether the cameras answer, and for how many seconds they must not be asked again.

        Nothing that runs is touched. A camera that rejects the login is asked rarely, because cameras lock accounts.
        """
        for camera in cameras:
            try:
                cause = self._cameras.failure_of(camera)
            except Exception:
                logger.exception("testing camera %s of a refused configuration failed", camera.id)
                return False, 0.0
            if cause is not None:
                return False, camera.stream.auth_backoff_s if cause == WRONG_CREDENTIALS else 0.0
        return True, 0.0

    def _attempt(self, rollout: _Rollout) -> _Outcome:
        """Roll out a configuration; an unexpected error refuses it, and the thread continues."""
        try:
            return self._roll_out(rollout)
        except Exception as error:
            logger.exception("applying configuration %d failed", rollout.command.version)
            reason = f"internal error ({type(error).__name__}); see the device's log"
        try:
            return self._rolled_back(rollout, reason)
        except Exception:
            logger.exception("rolling back configuration %d failed", rollout.command.version)
            return _Outcome(reason, {"config_version": self._proved.version})

    def _roll_out(self, rollout: _Rollout) -> _Outcome:
        command = rollout.command
        try:
            cameras = check_cameras(command.cameras, rules=self._rules, clock=self._clock)
            stored = StoredConfiguration(version=command.version, cameras=command.cameras)
            prepared = self._store.prepare(stored)
        except RejectedConfigurationError as error:
            return self._rolled_back(rollout, str(error))
        except TransientError as error:
            return self._rolled_back(rollout, str(error), rejected=False)
        try:
            faults = self._faults_of(cameras, rollout)
            if rollout.interrupted.is_set():
                return self._interrupted(rollout)
            if faults:
                self._remember(command, faults, cameras)
                return self._rolled_back(rollout, "; ".join(f"camera {one.camera.id}: {one.reason}" for one in faults))
            prepared.commit()
        except TransientError as error:
            return self._rolled_back(rollout, str(error), rejected=False)
        finally:
            prepared.discard()
        return self._accepted(command, cameras)

    def _interrupted(self, rollout: _Rollout) -> _Outcome:
        error = f"version {rollout.command.version} was interrupted by a newer one, or because the agent stops"
        return _Outcome(error, {"config_version": self._proved.version})

    def _remember(self, command: ConfigureCommand, faults: Sequence[Fault], cameras: Sequence[CameraSettings]) -> None:
        """Plan to try the version again if its cameras only do not answer; do not let them hold up later versions."""
        running = {camera.id for camera in self._proved.cameras}
        self._silent.remember(command.version, faults, cameras=cameras, running=running)
        with self._changed:
            if self._newest is None or self._newest.command.version != command.version:
                return  # a newer one has arrived
            if not all(fault.is_silent for fault in faults):
                self._waiting = None
                return
            if self._waiting is None:
                self._waiting = RefusedVersion(command, now_s=self._clock.monotonic())
            self._waiting.awaited = [fault.camera for fault in faults]

    def _faults_of(self, cameras: Sequence[CameraSettings], rollout: _Rollout) -> list[Fault]:
        """Apply the cameras and return the faults of those that are new or changed. Ends early where interrupted."""
        if self._before is None:
            self._before = self._cameras.progress()
        self._apply(cameras)
        proved = {camera.id: camera for camera in self._proved.cameras}
        now_s = self._clock.monotonic()
        proofs = {
            camera.id: CameraProof(
                camera,
                before=self._before.get(camera.id),
                now_s=now_s,
                is_known_silent=self._silent.excuses(camera, version=rollout.command.version),
            )
            for camera in self._without_pinned(cameras)
            if camera.enabled and proved.get(camera.id) != camera
        }
        by_id = {camera.id: camera for camera in cameras}
        faults: list[Fault] = []
        while proofs and not rollout.interrupted.is_set():
            progress, now_s = self._cameras.progress(), self._clock.monotonic()
            for camera_id, proof in list(proofs.items()):
                # One that is gone was replaced by the device's own file meanwhile.
                verdict = proof.judge(progress[camera_id], now_s=now_s) if camera_id in progress else Verdict()
                if verdict is not None:
                    del proofs[camera_id]
                if verdict is not None and verdict.fault is not None:
                    is_silent = not progress[camera_id].has_failed
                    faults.append(Fault(by_id[camera_id], verdict.fault, is_silent))
            if proofs:
                rollout.interrupted.wait(_POLL_INTERVAL_S)
        return faults

    def _accepted(self, command: ConfigureCommand, cameras: Sequence[CameraSettings]) -> _Outcome:
        with self._changed:
            self._proved, self._before, self._waiting = _Proved(command.version, cameras), None, None
            self._silent.clear()
            self._health = ConfigurationHealth(version=command.version, error=self._note(cameras))
        logger.info("configuration %d is in use, %d camera(s)", command.version, len(cameras))
        refused = dict.fromkeys(self._refused(cameras), PINNED)
        return _Outcome(fields={"config_version": command.version} | ({"refused_cameras": refused} if refused else {}))

    def _rolled_back(self, rollout: _Rollout, error: str, *, rejected: bool = True) -> _Outcome:
        """Run the proved cameras again, and return the reason. ``rejected`` says that a repetition would fail too."""
        version, error = rollout.command.version, error[:_MAX_ERROR_CHARS]
        self._apply(self._proved.cameras)
        with self._changed:
            self._before = None
            self._health = ConfigurationHealth(
                version=self._proved.version, rejected_version=version if rejected else None, error=error
            )
        logger.error("configuration %d was refused; version %d stays in use: %s", version, self._proved.version, error)
        fields = {"config_version": self._proved.version}
        return _Outcome(error, fields | ({"rejected_version": version} if rejected else {}))

    def _usable(self, stored: StoredConfiguration | None) -> tuple[list[CameraSettings], list[str]]:
        """Return the cameras of the stored configuration that can run, and the problems of the others."""
        cameras: list[CameraSettings] = []
        problems: list[str] = []
        for camera in stored.cameras if stored is not None else ():
            try:
                cameras.append(camera_settings(camera, rules=self._rules))
            except RejectedConfigurationError as error:
                if camera.enabled:
                    problems.append(str(error))
        return cameras, problems

    def _apply(self, cameras: Sequence[CameraSettings]) -> None:
        with self._applying:
            self._applied = cameras
            if changed := self._cameras.apply(self._joined()):
                logger.info("changed cameras: %s", ", ".join(changed))

    def _joined(self) -> list[CameraSettings]:
        return self._effective([*self._pinned, *self._without_pinned(self._applied)])

    def _without_pinned(self, cameras: Sequence[CameraSettings]) -> list[CameraSettings]:
        refused = self._refused(cameras)
        return [camera for camera in cameras if camera.id not in refused]

    def _refused(self, cameras: Sequence[CameraSettings]) -> set[str]:
        return {camera.id for camera in self._pinned} & {camera.id for camera in cameras}

    def _note(self, cameras: Sequence[CameraSettings]) -> str | None:
        return _shortened([f"camera {camera_id}: {PINNED}" for camera_id in sorted(self._refused(cameras))])


def _shortened(problems: Sequence[str]) -> str | None:
    return "; ".join(problems)[:_MAX_ERROR_CHARS] or None
