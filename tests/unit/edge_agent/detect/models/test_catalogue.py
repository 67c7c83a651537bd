"""The model catalogue: resolution of names to files, and verification of hashes."""

from __future__ import annotations

import hashlib
import json
import logging
import urllib.parse
from pathlib import Path

import pytest

from edge_agent.detect.models.catalogue import (
    ModelFile,
    ModelStore,
    list_models,
    pull,
    resolve_model,
    user_cache_dir,
)
from edge_agent.detect.models.download import Downloader, Fetch
from edge_agent.detect.models.entries import ENTRIES, ModelEntry
from edge_agent.detect.models.labels import COCO_90, LABEL_SETS
from shared.errors import ConfigurationError, TransientError
from tests.support.http_file_server import Web

BODY = b"\x1c\x00\x00\x00TFL3 pretend"
SHA256 = hashlib.sha256(BODY).hexdigest()
DEFAULT = "ssd_mobilenet_v1_coco_quant"


def entry(url: str, *, name: str = "street", sha256: str | None = SHA256, default: bool = True) -> ModelEntry:
    return ModelEntry(
        name=name,
        url=url,
        sha256=sha256,
        size_bytes=None,
        licence="Apache-2.0",
        label_set="coco90",
        input_size=(300, 300),
        description="made by a test",
        default=default,
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def store(
    cache: Path, *entries: ModelEntry, location: str | Path | None = None, fetch: Fetch | None = None
) -> ModelStore:
    return ModelStore(
        models_location=None if location is None else str(location),
        cache_dir=cache,
        fetch=fetch or Downloader(timeout_s=2),
        entries=entries,
    )


@pytest.mark.parametrize("known", ENTRIES, ids=lambda known: known.name)
def test_every_entry_is_well_formed(known: ModelEntry) -> None:
    """An entry has an https address, a valid hash or none, a permitted licence and an existing label set."""
    assert urllib.parse.urlsplit(known.url).scheme == "https"
    assert known.url.endswith(".tflite")
    assert known.sha256 is None or (len(known.sha256) == 64 and int(known.sha256, 16))
    assert known.licence == "Apache-2.0"
    assert known.label_set in LABEL_SETS
    assert min(known.input_size) >= 128
    assert known.name.isidentifier()
    assert known.description


def test_names_are_unique_and_the_default_has_a_hash() -> None:
    """The default model can be verified."""
    assert len({known.name for known in ENTRIES}) == len(ENTRIES)
    assert [known.sha256 is not None for known in ENTRIES if known.default] == [True]


def test_model_is_downloaded_once_and_then_cached(web: Web, cache: Path) -> None:
    """The second call sends no request."""
    web.pages["/m.tflite"] = BODY
    models = store(cache, entry(f"{web.url}/m.tflite"))
    first, second = models.resolve("street"), models.resolve(None)
    assert first == second
    assert (first.path, first.name, first.labels) == (cache / "street.tflite", "street", COCO_90)
    assert first.path.read_bytes() == BODY
    assert web.asked == ["/m.tflite"]


def test_corrupt_cached_file_is_downloaded_again(web: Web, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong hash causes a new download and a log line."""
    web.pages["/m.tflite"] = BODY
    models = store(cache, entry(f"{web.url}/m.tflite"))
    models.resolve("street").path.write_bytes(b"bit rot")
    with caplog.at_level(logging.WARNING):
        assert models.resolve("street").path.read_bytes() == BODY
    assert "street.tflite in the model cache is corrupt" in caplog.text


def test_download_with_a_wrong_hash_is_rejected(web: Web, cache: Path) -> None:
    """A file without the catalogue's hash is never stored in the cache."""
    web.pages["/m.tflite"] = b"something else"
    with pytest.raises(ConfigurationError, match="is not the expected file"):
        store(cache, entry(f"{web.url}/m.tflite")).resolve("street")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_missing_network_raises_a_transient_error(cache: Path) -> None:
    """The caller may continue with blob detection."""
    with pytest.raises(
        TransientError, match=r"cannot be reached .*; to work offline, put street\.tflite into a folder"
    ):
        store(cache, entry("http://127.0.0.1:9/m.tflite")).resolve("street")


def test_unpublished_hash_is_recorded_and_required(web: Web, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first download records the hash and logs it; a different file is then rejected."""
    web.pages["/m.tflite"] = BODY
    models = store(cache, entry(f"{web.url}/m.tflite", sha256=None))
    with caplog.at_level(logging.WARNING):
        kept = models.resolve("street").path
    assert f"recording sha256 {SHA256}" in caplog.text
    assert json.loads((cache / "index.json").read_text())["sha256"] == {"street": SHA256}
    kept.unlink()
    web.pages["/m.tflite"] = b"changed"
    with pytest.raises(ConfigurationError, match="is not the expected file"):
        models.resolve("street")
    web.pages["/m.tflite"] = BODY
    caplog.clear()
    assert models.resolve("street").path.read_bytes() == BODY
    assert "recording" not in caplog.text


def test_recording_a_second_hash_keeps_the_first(web: Web, cache: Path) -> None:
    """Both hashes are in the list."""
    web.pages |= {"/a.tflite": BODY, "/b.tflite": b"other"}
    models = store(
        cache,
        entry(f"{web.url}/a.tflite", name="a", sha256=None),
        entry(f"{web.url}/b.tflite", name="b", sha256=None, default=False),
    )
    models.pull("a")
    models.pull("b")
    assert sorted(json.loads((cache / "index.json").read_text())["sha256"]) == ["a", "b"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 3}'])
def test_damaged_hash_list_is_rejected_or_ignored(web: Web, cache: Path, content: str) -> None:
    """Invalid JSON is an error with the path; JSON of another shape contains no hashes."""
    web.pages["/m.tflite"] = BODY
    cache.mkdir()
    (cache / "index.json").write_text(content)
    models = store(cache, entry(f"{web.url}/m.tflite", sha256=None))
    if content in {"", "{"}:
        with pytest.raises(ConfigurationError, match=r"index\.json cannot be read .*; delete it"):
            models.resolve("street")
    else:
        assert models.resolve("street").path.is_file()


def test_sites_folder_has_priority(web: Web, cache: Path, tmp_path: Path) -> None:
    """A file with the model's name or the publisher's file name is used without a request."""
    for file in ("street.tflite", "m.tflite"):
        folder = tmp_path / file
        folder.mkdir()
        (folder / file).write_bytes(BODY)
        model = store(cache, entry(f"{web.url}/m.tflite"), location=folder).resolve("street")
        assert model.path == folder / file
        assert model.labels == COCO_90
        assert model.labels_source == "the catalogue"
    assert web.asked == []


def test_different_file_with_a_catalogue_name_is_used_and_logged(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A retrained model of the site uses its own labels rather than those of the catalogue."""
    (tmp_path / "street.tflite").write_bytes(b"retrained")
    with caplog.at_level(logging.WARNING):
        model = store(cache, entry("https://example.org/m.tflite"), location=tmp_path).resolve("street")
    assert (model.entry, model.labels) == (None, None)
    assert "has the name of a catalogue model but different contents" in caplog.text


def test_every_file_in_the_sites_folder_has_a_name(cache: Path, tmp_path: Path) -> None:
    """The name is the stem, and a labels file next to it is read."""
    (tmp_path / "own.tflite").write_bytes(BODY)
    (tmp_path / "own_labels.txt").write_text("fork lift\npallet\n")
    model = store(cache, location=tmp_path).resolve("own")
    assert (model.path, model.name, model.labels) == (tmp_path / "own.tflite", "own", ("fork lift", "pallet"))
    assert model.labels_source == "own_labels.txt"


def test_path_is_resolved(cache: Path, tmp_path: Path) -> None:
    """A text that looks like a path must be an existing file."""
    path = tmp_path / "own.tflite"
    path.write_bytes(BODY)
    assert store(cache).resolve(str(path)) == ModelFile(path=path, name="own")
    for missing in (str(tmp_path / "gone.tflite"), "gone.tflite", "models/gone"):
        with pytest.raises(ConfigurationError, match=r"there is no model file .*gone"):
            store(cache).resolve(missing)


def test_mirror_has_priority_and_is_requested_once(web: Web, cache: Path) -> None:
    """A downloaded file is used from then on, even if the mirror is unavailable."""
    web.pages |= {"/models/own.tflite": BODY}
    models = store(cache, location=f"{web.url}/models/")
    path = models.resolve("own").path
    assert path.read_bytes() == BODY
    web.pages.clear()
    assert models.resolve("own").path == path
    assert web.asked == ["/models/own.tflite"]


def test_mirror_may_use_either_file_name(web: Web, cache: Path) -> None:
    """The catalogue's name and the publisher's file name are tried; the hash must match."""
    known = entry("https://example.org/maker.tflite")
    web.pages["/maker.tflite"] = BODY
    models = store(cache, known, location=web.url)
    model = models.pull("street")
    assert (model.entry, model.labels) == (known, COCO_90)
    assert web.asked == ["/street.tflite", "/maker.tflite"]
    web.pages["/street.tflite"] = b"another"
    with pytest.raises(ConfigurationError, match="is not the expected file"):
        store(cache / "fresh", known, location=web.url).resolve("street")


def test_model_missing_on_the_mirror_is_downloaded_from_its_publisher(web: Web, cache: Path) -> None:
    """The address of the catalogue is the fallback."""
    web.pages["/maker/m.tflite"] = BODY
    model = store(cache, entry(f"{web.url}/maker/m.tflite"), location=f"{web.url}/empty").resolve("street")
    assert model.path == cache / "street.tflite"


def test_labels_are_found_by_path_in_the_folder_and_on_the_mirror(web: Web, cache: Path, tmp_path: Path) -> None:
    """Labels are given as a path, or as a name in the site's folder or on its mirror."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "own.tflite").write_bytes(BODY)
    (folder / "two.txt").write_text("a\nb\n")
    local = store(cache, location=folder)
    assert local.resolve("own", labels="two.txt").labels == ("a", "b")
    assert local.resolve("own", labels=str(folder / "two.txt")).labels_source.endswith("two.txt")
    web.pages |= {"/two.txt": b"c\nd\n", "/own.tflite": BODY}
    assert store(cache, location=web.url).resolve("own", labels="two.txt").labels == ("c", "d")
    for models in (local, store(cache, location=web.url), store(cache)):
        with pytest.raises(ConfigurationError, match=r"labels file .*gone\.txt"):
            models.labels("gone.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stret", r"no model called 'stret'; did you mean street\?"),
        ("zzz", "no model called 'zzz'; there are street, own"),
        ("", "no model called ''"),
    ],
)
def test_unknown_name_is_rejected_with_the_known_names(cache: Path, tmp_path: Path, name: str, message: str) -> None:
    """The error suggests similar names, or lists all of them including the site's files."""
    (tmp_path / "own.tflite").write_bytes(BODY)
    models = store(cache, entry("https://example.org/m.tflite"), location=tmp_path)
    for ask in (models.resolve, models.pull):
        with pytest.raises(ConfigurationError, match=message):
            ask(name)


def test_missing_folder_of_the_site_is_named(cache: Path, tmp_path: Path) -> None:
    """If a name is unknown because the folder is missing, the error names the folder."""
    with pytest.raises(ConfigurationError, match=r"models folder .*typo does not exist"):
        store(cache, entry("https://example.org/m.tflite"), location=tmp_path / "typo").resolve("zzz")


def test_listing_contains_the_location_of_each_model(web: Web, cache: Path, tmp_path: Path) -> None:
    """A model is in the site's folder, in the cache or not downloaded; other files of the folder follow."""
    web.pages["/b.tflite"] = BODY
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.tflite").write_bytes(BODY)
    (site / "own.tflite").write_bytes(BODY)
    known = [entry(f"{web.url}/{name}.tflite", name=name, default=name == "a") for name in ("a", "b", "c")]
    models = store(cache, *known, location=site)
    models.pull("b")
    rows = [(row.name, row.where, row.path and row.path.name, row.entry is not None) for row in models.listings()]
    assert rows == [
        ("a", "folder", "a.tflite", True),
        ("b", "cache", "b.tflite", True),
        ("c", "download", None, True),
        ("own", "folder", "own.tflite", False),
    ]


def test_resolve_model_uses_the_given_folder(shared_material: Path, cache: Path) -> None:
    """A catalogue name is resolved from the folder, with a verified hash and labels, without a download."""
    location = str(shared_material / "models")
    model = resolve_model(None, models_location=location, cache_dir=cache)
    assert (model.name, model.path.name) == (DEFAULT, f"{DEFAULT}.tflite")
    assert model.entry is not None
    assert model.entry.size_bytes == model.path.stat().st_size
    own = resolve_model("yolo11n_416_int8", models_location=location, cache_dir=cache, labels="coco80_labels.txt")
    assert own.labels is not None
    assert len(own.labels) == 80
    listed = {row.name: row.where for row in list_models(models_location=location, cache_dir=cache)}
    assert listed[DEFAULT] == listed["yolo11n_416_int8"] == "folder"
    assert listed["efficientdet_lite0"] == "download"
    assert not cache.exists()


def test_pull_reports_progress(web: Web, cache: Path) -> None:
    """A wrong file on the mirror is rejected after progress was reported."""
    web.pages[f"/{DEFAULT}.tflite"] = b"x" * 10
    seen: list[int] = []
    with pytest.raises(ConfigurationError, match="is not the expected file"):
        pull(None, models_location=web.url, cache_dir=cache, progress=lambda size, _: seen.append(size))
    assert seen == [10]


def test_cache_folder_of_the_user() -> None:
    """The cache is under $XDG_CACHE_HOME if that is an absolute path, else under ~/.cache."""
    home = Path("/home/u")
    assert user_cache_dir(xdg_cache_home=None, home=home) == Path("/home/u/.cache/vedette/models")
    assert user_cache_dir(xdg_cache_home="/var/c", home=home) == Path("/var/c/vedette/models")
    assert user_cache_dir(xdg_cache_home="relative", home=home) == Path("/home/u/.cache/vedette/models")


def test_broken_link_in_the_cache_is_replaced(cache: Path, web: Web) -> None:
    """A dangling link is replaced by the downloaded file."""
    web.pages["/m.tflite"] = BODY
    cache.mkdir()
    (cache / "street.tflite").symlink_to(cache / "gone")
    assert store(cache, entry(f"{web.url}/m.tflite")).resolve("street").path.read_bytes() == BODY
    assert not (cache / "gone").exists()


def test_damaged_hash_list_does_not_affect_verified_models(web: Web, cache: Path) -> None:
    """The list is not needed if the catalogue has the hash."""
    web.pages["/m.tflite"] = BODY
    cache.mkdir()
    (cache / "index.json").write_text("{")
    assert store(cache, entry(f"{web.url}/m.tflite")).resolve("street").path.is_file()
