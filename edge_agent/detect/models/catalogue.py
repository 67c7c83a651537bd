"""Resolves a model's name to a file: from the site's folder or mirror, the cache, or the publisher's address.

Reads no environment variables: the settings module passes the location (``VEDETTE_MODELS``) and the cache folder.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edge_agent.detect.models.download import Downloader, Fetch, NotThereError, Progress, replacing
from edge_agent.detect.models.entries import ENTRIES, ModelEntry
from edge_agent.detect.models.labels import LABEL_SETS, Labels, read_labels
from shared.errors import ConfigurationError, TransientError

logger = logging.getLogger(__name__)

SUFFIX = ".tflite"
_INDEX = "index.json"
_LABEL_SUFFIXES = (".labels.txt", "_labels.txt", ".txt")
"""Suffixes of the labels file next to a model: ``model.labels.txt``, ``model_labels.txt`` or ``model.txt``."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file on this machine."""

    path: Path
    name: str
    """The catalogue's name, or the file's stem."""
    entry: ModelEntry | None = None
    """The catalogue entry; None for other files, including a different file with the name of an entry."""
    labels: Labels | None = None
    """Class names from the caller, from a labels file next to the model, or from the catalogue; None if unknown."""
    labels_source: str = ""
    """Origin of the labels, for errors."""


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One row of ``edge-agent models list``."""

    name: str
    where: Literal["folder", "cache", "download"]
    """Whether the model is in the site's folder, in the cache, or not downloaded yet."""
    path: Path | None
    entry: ModelEntry | None


class ModelStore:
    """Finds models in the site's folder or mirror and in the cache, and downloads them."""

    def __init__(
        self,
        *,
        models_location: str | None,
        cache_dir: Path,
        fetch: Fetch,
        entries: tuple[ModelEntry, ...] = ENTRIES,
    ) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._cache = cache_dir
        self._fetch = fetch
        location = models_location or None
        self._mirror = location.rstrip("/") if location and "://" in location else None
        self._folder = Path(location).expanduser() if location and self._mirror is None else None

    @property
    def default_name(self) -> str:
        """The name of the default model."""
        return next(entry.name for entry in self._entries.values() if entry.default)

    def resolve(self, name_or_path: str | None, *, labels: str | None = None) -> ModelFile:
        """Return the model with this name or path (None: the default model), downloaded if necessary.

        ``labels``: path of a labels file, or its name in the site's folder. Raises ConfigurationError if there is no
        such model, and TransientError if the download failed and may be retried.
        """
        model = self._find(self.default_name if name_or_path is None else name_or_path)
        if labels is None:
            return model
        return replace(model, labels=self.labels(labels), labels_source=labels)

    def _find(self, name: str) -> ModelFile:
        if _looks_like_path(name):
            return self._at_path(Path(name).expanduser())
        found = self._in_folder(name) or self._on_mirror(name)
        if found is not None:
            return found
        entry = self._entries.get(name)
        if entry is None:
            raise ConfigurationError(self._unknown(name))
        return self._cached(entry) or self._pull(entry)

    def pull(self, name: str | None) -> ModelFile:
        """Download a model of the catalogue to the cache, unless the same file is already there."""
        name = self.default_name if name is None else name
        entry = self._entries.get(name)
        if entry is None:
            raise ConfigurationError(self._unknown(name))
        return self._on_mirror(name) or self._cached(entry) or self._pull(entry)

    def listings(self) -> list[ModelListing]:
        """Return the models of the catalogue, then other files in the site's folder. Downloads nothing."""
        rows: list[ModelListing] = []
        for entry in self._entries.values():
            own, kept = self._folder_file(entry.name), self._cache_path(entry.name)
            where: Literal["folder", "cache", "download"]
            where = "folder" if own else "cache" if kept.is_file() else "download"
            rows.append(
                ModelListing(name=entry.name, where=where, path=own or (kept if kept.is_file() else None), entry=entry)
            )
        taken = {row.path for row in rows}
        rows += [
            ModelListing(name=path.stem, where="folder", path=path, entry=None)
            for path in self._folder_files()
            if path not in taken
        ]
        return rows

    def labels(self, name_or_path: str) -> Labels:
        """Return the class names of a labels file, given its path or its name in the site's folder or mirror."""
        path = Path(name_or_path).expanduser()
        if not path.is_file() and not path.is_absolute():
            if self._folder is not None and (self._folder / path).is_file():
                path = self._folder / path
            elif len(path.parts) == 1:
                path = self._from_mirror(path.name) or path
        return read_labels(path)

    def _at_path(self, path: Path) -> ModelFile:
        if not path.is_file():
            raise ConfigurationError(f"there is no model file {path}" + self._hint(path.stem))
        return self._own_file(path, path.stem)

    def _in_folder(self, name: str) -> ModelFile | None:
        path = self._folder_file(name)
        return None if path is None else self._own_file(path, name)

    def _folder_file(self, name: str) -> Path | None:
        if self._folder is None:
            return None
        candidates = [f"{name}{SUFFIX}"]
        if entry := self._entries.get(name):
            candidates.append(_basename(entry.url))
        return next((path for file in candidates if (path := self._folder / file).is_file()), None)

    def _folder_files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder is not None and self._folder.is_dir() else []

    def _own_file(self, path: Path, name: str) -> ModelFile:
        entry = self._entries.get(name)
        if entry is not None and entry.sha256 is not None and (found := file_sha256(path)) != entry.sha256:
            logger.warning("%s has the name of a catalogue model but different contents (sha256 %s…)", path, found[:12])
            entry = None
        return _model_file(path, name, entry)

    def _on_mirror(self, name: str) -> ModelFile | None:
        if self._mirror is None:
            return None
        entry = self._entries.get(name)
        candidates = [f"{name}{SUFFIX}"] + ([_basename(entry.url)] if entry else [])
        for file in candidates:
            path = self._from_mirror(file, sha256=entry.sha256 if entry else None)
            if path is not None:
                return _model_file(path, name, entry)
        return None

    def _from_mirror(self, file: str, *, sha256: str | None = None) -> Path | None:
        """Download a file from the site's mirror; an earlier copy is used without a request."""
        if self._mirror is None:
            return None
        kept = self._cache / f"mirror-{hashlib.sha256(self._mirror.encode()).hexdigest()[:8]}" / file
        if kept.is_file() and (sha256 is None or file_sha256(kept) == sha256):
            return kept
        try:
            self._fetch(f"{self._mirror}/{file}", kept, sha256=sha256)
        except NotThereError:
            return None
        return kept

    def _cached(self, entry: ModelEntry) -> ModelFile | None:
        path = self._cache_path(entry.name)
        if not path.is_file():
            return None
        expected = entry.sha256 or self._recorded().get(entry.name)
        if expected is not None and file_sha256(path) != expected:
            logger.warning("%s in the model cache is corrupt; downloading it again", path)
            return None
        return _model_file(path, entry.name, entry)

    def _pull(self, entry: ModelEntry) -> ModelFile:
        recorded = self._recorded() if entry.sha256 is None else {}
        path = self._cache_path(entry.name)
        try:
            found = self._fetch(entry.url, path, sha256=entry.sha256 or recorded.get(entry.name))
        except TransientError as error:
            raise TransientError(
                f"{error}; to work offline, put {entry.name}{SUFFIX} into a folder and set VEDETTE_MODELS to it"
            ) from error
        if entry.sha256 is None and entry.name not in recorded:
            logger.warning(
                "%s: no hash is published; recording sha256 %s, which later downloads must match", path, found
            )
            self._record({**recorded, entry.name: found})
        return _model_file(path, entry.name, entry)

    def _cache_path(self, name: str) -> Path:
        return self._cache / f"{name}{SUFFIX}"

    def _recorded(self) -> dict[str, str]:
        path = self._cache / _INDEX
        try:
            content: Any = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the model cache's hash list {path} cannot be read ({error}); delete it to record them again"
            ) from error
        hashes = content.get("sha256") if isinstance(content, dict) else None
        return {str(name): str(value) for name, value in hashes.items()} if isinstance(hashes, dict) else {}

    def _record(self, hashes: dict[str, str]) -> None:
        with replacing(self._cache / _INDEX) as file:
            file.write(json.dumps({"sha256": hashes}, indent=2, sort_keys=True).encode())

    def _unknown(self, name: str) -> str:
        if not self._hint(name) and self._folder is not None and not self._folder.is_dir():
            return f"there is no model called '{name}', and the models folder {self._folder} does not exist"
        return f"there is no model called '{name}'" + (self._hint(name) or f"; there are {', '.join(self._names())}")

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._names(), n=3, cutoff=0.5)
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._entries, *(path.stem for path in self._folder_files())]))


def resolve_model(
    name_or_path: str | None,
    *,
    models_location: str | None,
    cache_dir: Path,
    labels: str | None = None,
    fetch: Fetch | None = None,
) -> ModelFile:
    """Return a model by its name or path (None: the default model); see ``ModelStore.resolve``."""
    store = ModelStore(models_location=models_location, cache_dir=cache_dir, fetch=fetch or Downloader())
    return store.resolve(name_or_path, labels=labels)


def pull(
    name: str | None,
    *,
    models_location: str | None,
    cache_dir: Path,
    progress: Progress | None = None,
    fetch: Fetch | None = None,
) -> ModelFile:
    """Download a model of the catalogue to the cache; see ``ModelStore.pull``."""
    fetch = fetch or Downloader(progress=progress)
    return ModelStore(models_location=models_location, cache_dir=cache_dir, fetch=fetch).pull(name)


def list_models(*, models_location: str | None, cache_dir: Path) -> list[ModelListing]:
    """Return all models with a name; see ``ModelStore.listings``."""
    return ModelStore(models_location=models_location, cache_dir=cache_dir, fetch=Downloader()).listings()


def user_cache_dir(*, xdg_cache_home: str | None, home: Path) -> Path:
    """Return the user's model cache: under ``$XDG_CACHE_HOME`` if that is an absolute path, else ``~/.cache``."""
    base = Path(xdg_cache_home) if xdg_cache_home else home / ".cache"
    return (base if base.is_absolute() else home / ".cache") / "vedette" / "models"


def file_sha256(path: Path) -> str:
    """Return a file's sha256; raise ConfigurationError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"cannot read the model {path}: {error.strerror or error}") from error


def _looks_like_path(name: str) -> bool:
    return name.endswith(SUFFIX) or "/" in name or "\\" in name or name.startswith("~")


def _basename(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _model_file(path: Path, name: str, entry: ModelEntry | None) -> ModelFile:
    for suffix in _LABEL_SUFFIXES:
        beside = path.with_name(path.stem + suffix)
        if beside.is_file():
            return ModelFile(path, name, entry, labels=read_labels(beside), labels_source=beside.name)
    if entry is not None:
        return ModelFile(path, name, entry, labels=LABEL_SETS[entry.label_set], labels_source="the catalogue")
    return ModelFile(path, name)
