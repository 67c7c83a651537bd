"""Copies the objects of the bucket into a folder and back. Objects that are there already are not copied again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cloud_functions.aws import aws_error
from infra.admin.backup.manifest import OBJECTS, hashed_file, sha256_of
from infra.admin.stack import Bucket
from shared.errors import ConfigurationError
from shared.storage_keys import CONTENT_TYPES

_CHUNK_BYTES: Final = 256 * 1024
_BATCH: Final = 200
_THREADS: Final = 8
_HEADERS: Final = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "Metadata")
_LONGEST_NAME: Final = 200
_FILES: Final = tuple(f".{extension}" for extension in CONTENT_TYPES)
"""A name with such an end is a file, and any other is a folder. In a bucket, ``a.jpg`` and ``a.jpg/b.jpg`` may be two
objects, and a device that stores both must not keep a backup from being made."""
_OTHER_KEYS: Final = ".keys"
"""Folder of the objects whose keys are not paths in this sense."""


@dataclass(slots=True)
class StoredObject:
    """One object of the bucket."""

    key: str
    size: int
    modified_s: float
    etag: str = ""
    sha256: str = ""
    """Empty if the object was only listed."""
    headers: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> Path:
        """Where its content is, below the folder of objects."""
        *folders, name = self.key.split("/")
        is_path = name.endswith(_FILES) and not any(part.endswith(_FILES) for part in folders)
        if is_path and _OTHER_KEYS not in folders and all(map(_is_name, [*folders, name])):
            return Path(*folders, name)
        return Path(_OTHER_KEYS) / hashlib.sha256(self.key.encode()).hexdigest()


def list_bucket(bucket: Bucket) -> Iterator[StoredObject]:
    """Yield the objects of the bucket, without their content."""
    try:
        for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name):
            for entry in page.get("Contents", []):
                yield StoredObject(
                    key=entry["Key"],
                    size=int(entry["Size"]),
                    modified_s=entry["LastModified"].timestamp(),
                    etag=entry.get("ETag", ""),
                )
    except Exception as error:
        raise aws_error(error, doing=f"listing the bucket {bucket.name}") from error


def read_list(path: Path) -> Iterator[StoredObject]:
    """Yield the objects of a list; raise OSError, EOFError or ValueError if it is damaged."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield StoredObject(**json.loads(line))


class ListWriter:
    """Writes a list of objects, and counts them."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed
        self.objects = 0
        self.size_bytes = 0

    def add(self, entry: StoredObject) -> None:
        self._packed.write(json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n")
        self.objects += 1
        self.size_bytes += entry.size


def write_list(path: Path, entries: Iterator[StoredObject]) -> tuple[ListWriter, str]:
    """Write a list; return what was counted, and the SHA-256 of the file."""
    with hashed_file(path) as file:
        with gzip.GzipFile("", "wb", 4, file, mtime=0) as packed:
            writer = ListWriter(packed)
            for entry in entries:
                writer.add(entry)
        return writer, file.digest.hexdigest()


class ObjectCopier:
    """Copies objects between the bucket and a folder, several at a time."""

    def __init__(self, *, bucket: Bucket, folder: Path, done: Callable[[int], None]) -> None:
        self._bucket = bucket
        self._folder = folder / OBJECTS
        self._done = done
        self.copied = 0
        self.vanished = 0
        """Objects that were deleted between the list and the copy."""
        self.damaged: list[str] = []
        """Keys of copies that are missing, or differ from the backup."""

    def fetch(self, entries: Iterator[StoredObject], known: Mapping[str, StoredObject]) -> Iterator[StoredObject]:
        """Copy the objects into the folder, and yield each that is there; ``known`` are those of earlier runs."""
        return (entry for entry in self._in_parallel(lambda one: self._fetch(one, known), entries) if entry)

    def put_back(self, entries: Iterator[StoredObject]) -> None:
        """Copy the objects into the bucket, unless it has them already."""
        for _ in self._in_parallel(self._put, entries):
            pass

    def _in_parallel(
        self, copy: Callable[[StoredObject], StoredObject | None], entries: Iterator[StoredObject]
    ) -> Iterator[StoredObject | None]:
        """Copy in batches, so that the list of a large bucket does not fill the memory."""
        with ThreadPoolExecutor(_THREADS) as threads:
            while batch := [entry for entry, _ in zip(entries, range(_BATCH), strict=False)]:
                yield from threads.map(copy, batch)
                self._done(len(batch))

    def _fetch(self, entry: StoredObject, known: Mapping[str, StoredObject]) -> StoredObject | None:
        path = self._folder / entry.path
        before = known.get(entry.key)
        if before is not None and before.sha256 and _is_same(entry, before) and _is_there(path, entry):
            return before
        # A run that was killed has copied it without a record: its file has the time of the object.
        is_copied = _is_there(path, entry) and path.stat().st_mtime == entry.modified_s
        client, name = self._bucket
        try:
            call = client.head_object if is_copied else client.get_object
            answer = call(Bucket=name, Key=entry.key)
            if not is_copied:
                entry.sha256, entry.size = _write(path, answer["Body"])
                os.utime(path, (entry.modified_s, entry.modified_s))
                self.copied += 1
            else:
                entry.sha256 = sha256_of(path)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
        except Exception as error:
            if _is_missing(error):
                self.vanished += 1
                return None
            raise aws_error(error, doing=f"reading {entry.key}") from error
        entry.etag = answer.get("ETag", entry.etag)
        entry.headers = {name: answer[name] for name in _HEADERS if answer.get(name)}
        return entry

    def _put(self, entry: StoredObject) -> None:
        client, name = self._bucket
        try:
            there = client.head_object(Bucket=name, Key=entry.key)
        except Exception as error:
            if not _is_missing(error):
                raise aws_error(error, doing=f"looking for {entry.key}") from error
            there = {}
        if there and (there["ContentLength"], there["ETag"]) == (entry.size, entry.etag):
            return
        path = self._folder / entry.path
        if not is_intact(path, entry):
            self.damaged.append(entry.key)
            return
        try:
            with path.open("rb") as body:
                client.put_object(Bucket=name, Key=entry.key, Body=body, **entry.headers)
        except Exception as error:
            raise aws_error(error, doing=f"storing {entry.key}") from error
        self.copied += 1


def _is_missing(error: Exception) -> bool:
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code in {"404", "NoSuchKey", "NotFound"}


def _is_name(part: str) -> bool:
    return part not in {"", ".", ".."} and "\0" not in part and len(part.encode()) <= _LONGEST_NAME


def is_intact(path: Path, entry: StoredObject) -> bool:
    """Return whether a copy has the content of the object."""
    try:
        return path.stat().st_size == entry.size and sha256_of(path) == entry.sha256
    except OSError:
        return False


def remove_others(folder: Path, keep: Iterator[StoredObject]) -> int:
    """Delete the copies of objects that are not in the list; return how many."""
    root = folder / OBJECTS
    paths = {root / entry.path for entry in keep}
    removed = 0
    for path in [path for path in root.rglob("*") if path.is_file()]:
        if path not in paths:
            path.unlink(missing_ok=True)
            removed += 1
            with suppress(OSError):
                path.parent.rmdir()
    return removed


def _is_same(entry: StoredObject, before: StoredObject) -> bool:
    etags = {entry.etag, before.etag} - {""}
    return (entry.size, entry.modified_s) == (before.size, before.modified_s) and len(etags) <= 1


def _is_there(path: Path, entry: StoredObject) -> bool:
    try:
        return path.stat().st_size == entry.size
    except OSError:
        return False


def _write(path: Path, body: Any) -> tuple[str, int]:
    """Write the content atomically; return its SHA-256 and its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.new")
    size = 0
    with hashed_file(temporary) as file:
        for chunk in iter(lambda: body.read(_CHUNK_BYTES), b""):
            size += file.write(chunk)
    temporary.replace(path)
    return file.digest.hexdigest(), size
