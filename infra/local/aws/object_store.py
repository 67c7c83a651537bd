"""S3 object calls on a folder of plain files, so that snapshots survive a restart and can be opened directly.

moto keeps objects in memory only; this application is in front of it in the same process and handles requests that are
signed for S3: create/head bucket, put, multipart upload, copy, get (with ranges), head, delete, batch delete and list.
Bodies are stored at ``FOLDER/BUCKET/KEY``, content type and metadata in ``FOLDER/.head/BUCKET/KEY.json``, and the parts
of unfinished uploads in ``FOLDER/.uploads``. The expiry of presigned URLs is enforced; signatures are not checked
(loopback only). Versions, ACLs and lists of unfinished uploads are not supported.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from infra.local.aws.file_content import FileContent, file_chunks
from infra.local.aws.multipart_upload import MultipartUploads, UploadError, part_numbers
from infra.local.aws.wsgi import Application, Environ, StartResponse, body_of, service_of

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_KEPT_HEADERS = ("content-type", "cache-control", "content-disposition", "content-encoding")
_TEMPORARY_NAME = re.compile(r"\..*\.\d+\.new", re.ASCII)
_LIST_LIMIT = 1000
_WRITE_ATTEMPTS = 5


class _S3Error(Exception):
    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class _Head:
    etag: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class _Reply:
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content: FileContent | None = None
    """Streamed instead of ``body``; ``headers`` then contain Content-Length."""


class ObjectFolder:
    """Objects as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heads = folder / ".head"
        self._made: set[str] = set()
        self.uploads = MultipartUploads(folder / ".uploads")

    def make_bucket(self, bucket: str) -> None:
        self._bucket(bucket).mkdir(parents=True, exist_ok=True)
        self._made.add(bucket)

    def has_bucket(self, bucket: str) -> bool:
        """Return whether the bucket exists. One that this process created is created again if its folder was removed.

        Deleting the folder by hand means deleting the objects, not the bucket. If the parent folder is missing too,
        the state folder was removed and nothing is created.
        """
        path = self._bucket(bucket)
        if bucket in self._made and not path.is_dir():
            with suppress(FileNotFoundError):
                self._folder.mkdir(exist_ok=True)
                path.mkdir(exist_ok=True)
        return path.is_dir()

    def put(self, bucket: str, key: str, body: bytes, headers: dict[str, str]) -> _Head:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        return self._store(bucket, key, [body], _Head(etag=etag, headers=headers))

    def complete_upload(self, bucket: str, key: str, upload_id: str, parts: list[int]) -> _Head:
        """Store the listed parts of a multipart upload as one object, and remove the upload."""
        headers = self.uploads.headers(upload_id, bucket, key)
        content, etag = self.uploads.join(upload_id, parts)
        head = self._store(bucket, key, content, _Head(etag=etag, headers=headers))
        self.uploads.remove(upload_id)
        return head

    def copy(self, source: tuple[str, str], bucket: str, key: str, headers: dict[str, str] | None) -> _Head:
        """Copy an object, with its headers unless ``headers`` replaces them."""
        path, head = self.head(*source)
        if headers is not None:
            head = replace(head, headers=headers)
        return self._store(bucket, key, file_chunks(path), head)

    def _store(self, bucket: str, key: str, content: Iterable[bytes], head: _Head) -> _Head:
        path, head_path = self._paths(bucket, key)
        _write(head_path, [json.dumps(asdict(head)).encode()])
        _write(path, content)
        return head

    def head(self, bucket: str, key: str) -> tuple[Path, _Head]:
        path, head_path = self._paths(bucket, key)
        if not path.is_file():
            raise _S3Error("404 Not Found", "NoSuchKey")
        try:
            return path, _Head(**json.loads(head_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            etag = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            return path, _Head(etag=f'"{etag}"')

    def delete(self, bucket: str, key: str) -> None:
        root = self._bucket(bucket)
        for path, top in zip(self._paths(bucket, key), (root, self._heads / bucket), strict=True):
            path.unlink(missing_ok=True)
            _remove_empty_folders(path.parent, top)

    def level(self, bucket: str, prefix: str) -> tuple[list[str], list[tuple[str, Path]]]:
        """Return the prefixes one level below ``prefix``, each ending in a slash, and the objects at that level."""
        start = self._start(bucket, prefix)
        folder, _, name = prefix.rpartition("/")
        above = f"{folder}/" if folder else ""
        paths = sorted(start.iterdir()) if start is not None and start.is_dir() else []
        paths = [path for path in paths if path.name.startswith(name) and not _TEMPORARY_NAME.fullmatch(path.name)]
        folders = [f"{above}{path.name}/" for path in paths if path.is_dir()]
        return folders, [(f"{above}{path.name}", path) for path in paths if path.is_file()]

    def keys(self, bucket: str, prefix: str) -> Iterator[tuple[str, Path]]:
        root, start = self._bucket(bucket), self._start(bucket, prefix)
        if start is None:
            return
        # Paths sort part by part, keys character by character: "a-b" is before "a/b".
        found = ((path.relative_to(root).as_posix(), path) for path in start.rglob("*") if path.is_file())
        for key, path in sorted(found):
            if key.startswith(prefix) and not _TEMPORARY_NAME.fullmatch(path.name):
                yield key, path

    def _start(self, bucket: str, prefix: str) -> Path | None:
        """Return the folder that holds all keys with ``prefix``; None if no key can have that prefix."""
        root = self._bucket(bucket)
        if not self.has_bucket(bucket):
            raise _S3Error("404 Not Found", "NoSuchBucket")
        folders = prefix.split("/")[:-1]
        # "/etc/" or "a/../b/" would be outside the bucket.
        return None if any(name in {"", ".", ".."} or "\0" in name for name in folders) else root.joinpath(*folders)

    def _bucket(self, bucket: str) -> Path:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,62}", bucket) or ".." in bucket:
            raise _S3Error("400 Bad Request", "InvalidBucketName")
        return self._folder / bucket

    def check_key(self, bucket: str, key: str) -> None:
        """Raise the error of S3 if the bucket does not exist or the key is not allowed."""
        self._paths(bucket, key)

    def _paths(self, bucket: str, key: str) -> tuple[Path, Path]:
        if not self.has_bucket(bucket):
            raise _S3Error("404 Not Found", "NoSuchBucket")
        parts = key.split("/")
        if any(part in {"", ".", ".."} or "\0" in part or len(part) > 200 for part in parts):
            raise _S3Error("400 Bad Request", "InvalidObjectName")
        return self._bucket(bucket).joinpath(*parts), (self._heads / bucket).joinpath(*parts).with_name(
            f"{parts[-1]}.json"
        )


def _remove_empty_folders(folder: Path, top: Path) -> None:
    """Remove ``folder`` and its parents below ``top`` while they are empty."""
    while folder != top and top in folder.parents:
        try:
            folder.rmdir()
        except OSError:  # not empty, or created again meanwhile
            return
        folder = folder.parent


def _write(path: Path, content: Iterable[bytes]) -> None:
    """Write atomically: a reader, or a crash, sees the old file or the new one, never a partial one.

    The file is opened before the first chunk is taken, so each attempt finds ``content`` complete.
    """
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}.new")
    for attempt in range(_WRITE_ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.writelines(content)
            temporary.replace(path)
        except FileNotFoundError:  # a delete has just removed the empty folder
            if attempt == _WRITE_ATTEMPTS - 1:
                raise
        else:
            return


class ObjectStore:
    """The WSGI application for S3; all other requests go to ``fallback``."""

    def __init__(self, *, folder: ObjectFolder, fallback: Application) -> None:
        self._folder = folder
        self._fallback = fallback

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", ""), True).items()}
        if service_of(environ) != "s3":
            return self._fallback(environ, start_response)
        body = body_of(environ)
        try:
            _check_expiry(query)
            reply = self._answer(environ, query, body)
        except _S3Error as error:
            reply = _error(error.status, error.code)
        except UploadError as error:
            reply = _error("404 Not Found" if str(error) == "NoSuchUpload" else "400 Bad Request", str(error))
        head_only = environ["REQUEST_METHOD"] == "HEAD"
        headers = list(reply.headers)
        if not any(name == "Content-Length" for name, _ in headers):
            headers.append(("Content-Length", str(len(reply.body))))
        start_response(reply.status, headers)
        if head_only:
            return []
        return [reply.body] if reply.content is None else reply.content

    def _answer(self, environ: Environ, query: dict[str, str], body: bytes) -> _Reply:
        bucket, _, key = _path_of(environ).lstrip("/").partition("/")
        method = environ["REQUEST_METHOD"]
        if not key:
            return self._bucket_call(method, bucket, query, body)
        if "uploads" in query or "uploadId" in query:
            return self._upload_call(environ, query, (bucket, key), body)
        if "HTTP_X_AMZ_COPY_SOURCE" in environ:
            return self._copy(environ, bucket, key)
        if method == "PUT":
            head = self._folder.put(bucket, key, body, _kept_headers(environ))
            return _Reply(headers=(("ETag", head.etag),))
        if method == "DELETE":
            self._folder.delete(bucket, key)
            return _Reply("204 No Content")
        if method in {"GET", "HEAD"}:
            return self._read(bucket, key, query, environ.get("HTTP_RANGE", ""), head_only=method == "HEAD")
        raise _S3Error("405 Method Not Allowed", "MethodNotAllowed")

    def _upload_call(self, environ: Environ, query: dict[str, str], target: tuple[str, str], body: bytes) -> _Reply:
        """Answer one call of a multipart upload of the object ``target``: bucket and key."""
        bucket, key = target
        method, upload_id = environ["REQUEST_METHOD"], query.get("uploadId", "")
        uploads = self._folder.uploads
        if method == "POST" and "uploads" in query:
            self._folder.check_key(bucket, key)
            upload_id = uploads.create(bucket, key, _kept_headers(environ))
            names = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
            return _xml("InitiateMultipartUploadResult", f"{names}<UploadId>{upload_id}</UploadId>")
        if method == "GET" or "HTTP_X_AMZ_COPY_SOURCE" in environ:
            raise _S3Error("501 Not Implemented", "NotImplemented")
        uploads.headers(upload_id, bucket, key)
        if method == "PUT":
            return _Reply(headers=(("ETag", f'"{uploads.put_part(upload_id, query.get("partNumber", ""), body)}"'),))
        if method == "DELETE":
            uploads.remove(upload_id)
            return _Reply("204 No Content")
        head = self._folder.complete_upload(bucket, key, upload_id, part_numbers(body))
        names = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
        return _xml("CompleteMultipartUploadResult", f"{names}<ETag>{escape(head.etag)}</ETag>")

    def _copy(self, environ: Environ, bucket: str, key: str) -> _Reply:
        name = unquote(str(environ["HTTP_X_AMZ_COPY_SOURCE"])).removeprefix("/")
        source_bucket, _, source_key = name.partition("/")
        replaced = str(environ.get("HTTP_X_AMZ_METADATA_DIRECTIVE", "COPY")).upper() == "REPLACE"
        if (source_bucket, source_key) == (bucket, key) and not replaced:
            raise _S3Error("400 Bad Request", "InvalidRequest")
        headers = _kept_headers(environ) if replaced else None
        head = self._folder.copy((source_bucket, source_key), bucket, key, headers)
        copied = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return _xml("CopyObjectResult", f"<LastModified>{copied}</LastModified><ETag>{escape(head.etag)}</ETag>")

    def _bucket_call(self, method: str, bucket: str, query: dict[str, str], body: bytes) -> _Reply:
        if method == "PUT":
            self._folder.make_bucket(bucket)
            return _Reply(headers=(("Location", f"/{bucket}"),))
        if not self._folder.has_bucket(bucket):
            raise _S3Error("404 Not Found", "NoSuchBucket")
        if method == "POST" and "delete" in query:
            return self._delete_many(bucket, body)
        return self._list(bucket, query) if method == "GET" else _Reply()

    def _read(self, bucket: str, key: str, query: dict[str, str], byte_range: str, *, head_only: bool) -> _Reply:
        path, head = self._folder.head(bucket, key)
        facts = path.stat()
        headers = {"content-type": "binary/octet-stream", **head.headers}
        for name in ("content-disposition", "content-type", "cache-control"):
            headers[name] = query.get(f"response-{name}", headers.get(name, ""))
        changed = format_datetime(datetime.fromtimestamp(facts.st_mtime, UTC), usegmt=True)
        response_headers = [("ETag", head.etag), ("Last-Modified", changed), ("Accept-Ranges", "bytes")]
        response_headers += [(name, value) for name, value in headers.items() if value]
        if head_only:
            return _Reply(headers=(*response_headers, ("Content-Length", str(facts.st_size))))
        content = FileContent(path)
        part = _RANGE.fullmatch(byte_range)
        if part is None or byte_range == "bytes=-":
            response_headers.append(("Content-Length", str(content.size_bytes)))
            return _Reply(headers=tuple(response_headers), content=content)
        try:
            first, last = _bounds(part[1], part[2], content.size_bytes)
        except _S3Error:
            content.close()
            raise
        content.only(first, last)
        response_headers.append(("Content-Range", f"bytes {first}-{last}/{content.size_bytes}"))
        response_headers.append(("Content-Length", str(last - first + 1)))
        return _Reply("206 Partial Content", tuple(response_headers), content=content)

    def _delete_many(self, bucket: str, body: bytes) -> _Reply:
        keys = [element.text or "" for element in ET.fromstring(body).iter() if element.tag.endswith("Key")]  # noqa: S314
        for key in keys:
            self._folder.delete(bucket, key)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml("DeleteResult", gone)

    def _list(self, bucket: str, query: dict[str, str]) -> _Reply:
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
        limit = min(int(query.get("max-keys", _LIST_LIMIT)), _LIST_LIMIT)
        prefix = query.get("prefix", "")
        entries: list[tuple[str, Path | None]]
        if query.get("delimiter") == "/":
            folders, objects = self._folder.level(bucket, prefix)
            entries = sorted([*((folder, None) for folder in folders), *objects])
        else:
            entries = [*self._folder.keys(bucket, prefix)]
        entries = [(key, path) for key, path in entries if key > after]
        shown = entries[:limit]
        rows = "".join(_listed(key, path) for key, path in shown)
        more = len(entries) > limit
        token = f"<NextContinuationToken>{escape(shown[-1][0])}</NextContinuationToken>" if more else ""
        flag = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}<KeyCount>{len(shown)}</KeyCount>"
        return _xml("ListBucketResult", f"<Name>{bucket}</Name>{flag}{rows}")


def _error(status: str, code: str) -> _Reply:
    return _Reply(status, body=f"<Error><Code>{code}</Code></Error>".encode())


def _listed(key: str, path: Path | None) -> str:
    """Return one entry of a list; ``path`` is None for a folder."""
    if path is None:
        return f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
    facts = path.stat()
    changed = datetime.fromtimestamp(facts.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{changed}</LastModified><Size>{facts.st_size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _xml(root: str, inside: str) -> _Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_NAMESPACE}">{inside}</{root}>'
    return _Reply(headers=(("Content-Type", "application/xml"),), body=text.encode())


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or start > end:
        raise _S3Error("416 Range Not Satisfiable", "InvalidRange")
    return start, end


def _path_of(environ: Environ) -> str:
    # WSGI hands the decoded path over as Latin-1.
    return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", errors="replace")


def _kept_headers(environ: Environ) -> dict[str, str]:
    metadata = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_X_AMZ_META_")
    }
    plain = {name: environ.get(_environ_name(name), "") for name in _KEPT_HEADERS}
    plain["content-encoding"] = plain["content-encoding"].replace("aws-chunked", "").strip(", ")
    return metadata | {name: value for name, value in plain.items() if value}


def _environ_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _check_expiry(query: dict[str, str]) -> None:
    if "X-Amz-Expires" not in query:
        return
    try:
        signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        until = signed + timedelta(seconds=int(query["X-Amz-Expires"]))
    except (KeyError, ValueError, OverflowError):
        raise _S3Error("400 Bad Request", "AuthorizationQueryParametersError") from None
    if datetime.now(UTC) > until:
        raise _S3Error("403 Forbidden", "AccessDenied")
