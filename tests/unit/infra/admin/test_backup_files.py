"""Where a backup keeps its files, and that neither a device nor a manifest can lead out of its folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.admin.backup.manifest import NAME, Manifest, ObjectsPart, TableFile, read_manifest
from infra.admin.backup.objects import ObjectCopier, StoredObject
from infra.admin.stack import Bucket
from shared.errors import PermanentError

PICTURE = "snapshots/gate.01/camera-1/2026-12-01/motion_101500_000000.jpg"
PARTS = st.sampled_from(["a", "a.jpg", "b.png", ".keys", "..", ".", "", "x" * 250, "\0"])


class FakeStore:
    """Objects in memory, with the calls of S3 that a backup makes."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - names of boto3
        del Bucket
        return {"Body": io.BytesIO(self.objects[Key]), "ETag": "x"}


def entry(key: str) -> StoredObject:
    return StoredObject(key, 1, 1.0)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=8, unique=True))
def test_no_two_objects_share_a_path_and_none_is_the_folder_of_another(keys: list[str]) -> None:
    """A bucket may hold ``a.jpg`` and ``a.jpg/b.jpg``: both are copied."""
    paths = [entry(key).path for key in keys]
    assert len(set(paths)) == len(keys)
    assert not {*paths} & {folder for path in paths for folder in path.parents}
    assert not any(path.is_absolute() or ".." in path.parts for path in paths)


def test_the_pictures_of_devices_keep_their_keys_as_paths() -> None:
    """So that a person finds them in the folder."""
    assert entry(PICTURE).path == Path(PICTURE)


def test_an_object_below_the_key_of_another_does_not_end_the_backup(tmp_path: Path) -> None:
    """A device may store under any key of its own folder."""
    objects = {PICTURE: b"1", f"{PICTURE}/{PICTURE}": b"2"}
    for name, keys in (("one", [*objects]), ("two", [*objects][::-1])):
        copier = ObjectCopier(bucket=Bucket(FakeStore(objects), "b"), folder=tmp_path / name, done=lambda number: None)
        copied = list(copier.fetch(map(entry, keys), {}))
        assert [one.key for one in copied] == keys
        assert {one.key: (tmp_path / name / "objects" / one.path).read_bytes() for one in copied} == objects


@pytest.mark.parametrize("place", ["run", "table", "objects"])
@pytest.mark.parametrize("name", ["../users", "/etc/passwd", "..", ""])
def test_a_manifest_names_files_of_its_own_folder_only(tmp_path: Path, place: str, name: str) -> None:
    """One who changes a manifest can compute its checksum too."""
    if (place, name) == ("objects", ""):
        name = "a/b"  # no name: there is no list of objects
    manifest = Manifest(
        backup_id="1",
        created_at="2026-12-01T10:00:00Z",
        release="1",
        server_version="15",
        revision="0034",
        run=name if place == "run" else "run-1",
        tables=[TableFile("users", [], name if place == "table" else "users.copy.gz", 0, "", "")],
        sequences={},
        months=[],
        objects=ObjectsPart("copy", file=name if place == "objects" else "objects.jsonl.gz"),
    )
    manifest.write(tmp_path)
    assert json.loads((tmp_path / NAME).read_text())["backup_id"] == "1"
    with pytest.raises(PermanentError, match="outside of the backup"):
        read_manifest(tmp_path)
