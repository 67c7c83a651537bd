"""Multipart uploads of the local object store: parts are files in one folder per upload until the upload completes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from infra.local.aws.file_content import file_chunks

_PART_NUMBERS: Final = range(1, 10_001)


class UploadError(Exception):
    """An upload cannot continue; the text is the error code of S3."""


class MultipartUploads:
    """The uploads that have been created and neither completed nor aborted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, bucket: str, key: str, headers: dict[str, str]) -> str:
        """Begin the upload of one object; return the upload's id."""
        upload_id = uuid.uuid4().hex
        folder = self._folder / upload_id
        folder.mkdir(parents=True)
        (folder / "object.json").write_text(json.dumps([bucket, key, headers]), encoding="utf-8")
        return upload_id

    def put_part(self, upload_id: str, number: str, body: bytes) -> str:
        """Store one part; return its MD5. A part with the same number is replaced."""
        if not number.isascii() or not number.isdigit() or int(number) not in _PART_NUMBERS:
            raise UploadError("InvalidArgument")
        (self._existing(upload_id) / f"{int(number)}").write_bytes(body)
        return hashlib.md5(body, usedforsecurity=False).hexdigest()

    def headers(self, upload_id: str, bucket: str, key: str) -> dict[str, str]:
        """Return the headers that the object had at ``create``, after a check that the upload is of this object."""
        folder = self._existing(upload_id)
        of_bucket, of_key, headers = json.loads((folder / "object.json").read_text(encoding="utf-8"))
        if (of_bucket, of_key) != (bucket, key):
            raise UploadError("NoSuchUpload")
        return headers

    def join(self, upload_id: str, numbers: Sequence[int]) -> tuple[Iterator[bytes], str]:
        """Return the content of the listed parts, in chunks, and the ETag that S3 gives such an object."""
        folder = self._existing(upload_id)
        if list(numbers) != sorted(set(numbers)) or not numbers:
            raise UploadError("InvalidPartOrder")
        paths = [folder / f"{number}" for number in numbers]
        if not all(path.is_file() for path in paths):
            raise UploadError("InvalidPart")
        digests = b"".join(_md5(path) for path in paths)
        etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(paths)}"'
        return _content(paths), etag

    def remove(self, upload_id: str) -> None:
        """Remove an upload and its parts."""
        shutil.rmtree(self._existing(upload_id))

    def _existing(self, upload_id: str) -> Path:
        folder = self._folder / upload_id
        if re.fullmatch(r"[0-9a-f]{32}", upload_id) is None or not folder.is_dir():
            raise UploadError("NoSuchUpload")
        return folder


def part_numbers(body: bytes) -> list[int]:
    """Return the part numbers in the body of CompleteMultipartUpload, in its order."""
    try:
        elements = ET.fromstring(body).iter()  # noqa: S314
        return [int(element.text or "") for element in elements if element.tag.endswith("PartNumber")]
    except (ET.ParseError, ValueError):
        raise UploadError("MalformedXML") from None


def _content(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        yield from file_chunks(path)


def _md5(path: Path) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in file_chunks(path):
        digest.update(chunk)
    return digest.digest()
