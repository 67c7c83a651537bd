"""Any sequence of configurations and restarts: what runs, what is on disk and what is reported stay one version."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from tests.support.edge.managed_harness import ManagedDevice, api_camera

WORKS, FAILS, INVALID = "usb:1", "usb:7", "gst:x"
RESTART = "restart"

_CAMERAS = st.dictionaries(
    st.sampled_from(["gate", "attic", "yard"]), st.sampled_from([WORKS, "usb:2", FAILS, INVALID]), max_size=3
)
_STEPS = st.lists(st.one_of(st.just(RESTART), st.tuples(st.integers(1, 6), _CAMERAS)), max_size=8)


def _new(folder: Path) -> ManagedDevice:
    device = ManagedDevice(folder)
    device.faults[FAILS] = ConfigurationError("no such device")
    return device.start()


def _list(cameras: dict[str, str]) -> list[dict[str, Any]]:
    return [api_camera(camera_id, source) for camera_id, source in cameras.items()]


@settings(max_examples=40, deadline=None)
@given(steps=_STEPS)
def test_each_step_gives_the_expected_version(steps: list[Any]) -> None:
    """One after the other: a valid, working, higher version replaces the proved one; nothing else does."""
    with tempfile.TemporaryDirectory() as folder:
        device, version, running = _new(Path(folder)), 0, dict[str, str]()
        for step in steps:
            if step == RESTART:
                device.close()
                device = _new(Path(folder))
            else:
                wanted, cameras = step
                fields = device.configure(wanted, *_list(cameras))
                accepted = wanted > version and not {FAILS, INVALID} & set(cameras.values())
                if accepted:
                    version, running = wanted, cameras
                assert fields.get("rejected_version") == (None if accepted or wanted == version else wanted)
                assert fields["config_version"] == version
            assert device.managed.health().version == device.stored_version() == version
            assert device.running() == running
        device.close()


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(1, 9), _CAMERAS), min_size=1, max_size=6))
def test_versions_that_arrive_at_once_end_in_one(steps: list[Any]) -> None:
    """Without waiting in between: the highest version wins if it works, and all of them are answered."""
    with tempfile.TemporaryDirectory() as folder:
        device = _new(Path(folder))
        by_version = dict(reversed(steps))  # the first list of a version is the one that counts
        steps = [(version, by_version[version]) for version, _ in steps]
        waits = [(version, device.begin(version, *_list(cameras))) for version, cameras in steps]
        outcomes = [(version, wait()) for version, wait in waits]
        final = device.managed.health().version
        assert final == device.stored_version()
        assert device.running() == by_version.get(final, {})
        assert final in {0, *(version for version, fields in outcomes if "error" not in fields)}
        highest = max(by_version)
        if not {FAILS, INVALID} & set(by_version[highest].values()):
            assert final == highest
        device.close()
