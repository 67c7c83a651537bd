"""Master keys in a private file and in KMS (moto)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import AwsClients
from cloud_functions.plates.master_keys import (
    FileMasterKeys,
    KmsMasterKey,
    MasterKeys,
    WrappedKey,
    add_master_key,
    make_key_file,
    master_keys,
)
from shared.errors import ConfigurationError, PermanentError, TransientError


@pytest.fixture
def kms(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> tuple[AwsClients, str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = AwsClients(region="eu-central-1")
    return aws, aws.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "plates.key"
    make_key_file(path)
    return path


@given(st.binary(min_size=32, max_size=32), st.text("abc-_09", min_size=1, max_size=20))
def test_a_key_file_wraps_and_unwraps_data_keys(
    tmp_path_factory: pytest.TempPathFactory, data_key: bytes, site_id: str
) -> None:
    """A wrapped key is bound to its site."""
    path = tmp_path_factory.getbasetemp() / "property.key"
    if not path.exists():
        make_key_file(path)
    keys = FileMasterKeys(path)
    wrapped = keys.wrap(data_key, site_id)
    assert keys.unwrap(wrapped, site_id) == data_key
    assert data_key not in wrapped.wrapped
    with pytest.raises(PermanentError):
        keys.unwrap(wrapped, site_id + "x")


def test_each_new_data_key_is_different(path: Path) -> None:
    """Two keys of one site differ, and a wrapped key unwraps to the same key."""
    keys = FileMasterKeys(path)
    first, wrapped = keys.new_key("hq")
    second, _ = keys.new_key("hq")
    assert first != second
    assert keys.unwrap(wrapped, "hq") == first


def test_the_last_key_of_a_file_wraps_and_all_unwrap(path: Path) -> None:
    """A master key can therefore be replaced while data keys that it wrapped are in use."""
    keys = FileMasterKeys(path)
    before = keys.wrap(b"k" * 32, "hq")
    name = add_master_key(path)
    after = keys.wrap(b"k" * 32, "hq")
    assert after.wrapped_by == f"file:{name}" != before.wrapped_by
    assert keys.unwrap(before, "hq") == keys.unwrap(after, "hq") == b"k" * 32
    assert path.stat().st_mode & 0o777 == 0o600
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(before.wrapped_by[5:])))
    with pytest.raises(ConfigurationError, match=f"does not contain the key {before.wrapped_by[5:]}"):
        keys.unwrap(before, "hq")


def test_a_key_file_that_others_can_read_is_rejected(path: Path) -> None:
    """The mode is checked each time a key is read."""
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        FileMasterKeys(path).new_key("hq")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no master key"),
        ("name not-base64\n", "not a master key"),
        ("name c2hvcnQ=\n", "32 bytes"),
        ("é", "read"),
    ],
)
def test_an_invalid_key_file_is_named_but_not_quoted(path: Path, text: str, message: str) -> None:
    """The text of the file may contain a part of a key."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as raised:
        FileMasterKeys(path).wrap(b"k" * 32, "hq")
    assert str(path) in str(raised.value)
    assert not text or text.strip() not in str(raised.value)


def test_a_key_file_is_not_overwritten_or_created_by_add(path: Path, tmp_path: Path) -> None:
    """A missing file or folder is an error."""
    with pytest.raises(ConfigurationError, match="exists"):
        make_key_file(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        add_master_key(tmp_path / "none.key")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make_key_file(tmp_path / "no-folder" / "plates.key")


def test_a_changed_wrapped_key_is_rejected(path: Path) -> None:
    """It is a permanent error and names the site."""
    keys = FileMasterKeys(path)
    wrapped = keys.wrap(b"k" * 32, "hq")
    with pytest.raises(PermanentError, match="site hq"):
        keys.unwrap(wrapped._replace(wrapped=wrapped.wrapped[:-1] + b"\0"), "hq")


def test_kms_creates_wraps_and_unwraps_data_keys(kms: tuple[AwsClients, str]) -> None:
    """A data key that another KMS key wraps again stays the same."""
    aws, arn = kms
    keys = KmsMasterKey(arn, aws=aws)
    data_key, wrapped = keys.new_key("hq")
    assert len(data_key) == 32
    assert wrapped.wrapped_by == f"kms:{arn}"
    assert keys.unwrap(wrapped, "hq") == data_key
    other = KmsMasterKey(aws.client("kms").create_key()["KeyMetadata"]["Arn"], aws=aws)
    again = other.wrap(data_key, "hq")
    assert again.wrapped_by != wrapped.wrapped_by
    assert keys.unwrap(again, "hq") == data_key  # KMS uses the key that wrapped it


def test_kms_binds_a_key_to_its_site(kms: tuple[AwsClients, str]) -> None:
    """The encryption context contains the site, so that a key policy can name it."""
    aws, arn = kms
    keys = KmsMasterKey(arn, aws=aws)
    _, wrapped = keys.new_key("hq")
    with pytest.raises(PermanentError, match="unwrapping the key of site yard"):
        keys.unwrap(wrapped, "yard")
    with pytest.raises(PermanentError, match="NotFound"):
        KmsMasterKey("alias/none", aws=aws).new_key("hq")


def test_an_unavailable_kms_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The events stay in the queue."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = AwsClients(region="eu-central-1", connect_timeout_s=0.2)
    with pytest.raises(TransientError):
        KmsMasterKey("alias/plates", aws=aws).new_key("hq")


@pytest.mark.parametrize("setting", [None, "", "kms:", "file:", "vault:x", "/a/path"])
def test_an_invalid_setting_is_rejected(setting: str | None) -> None:
    """The error shows both valid forms."""
    with pytest.raises(ConfigurationError, match="kms:KEY"):
        master_keys(setting)


def test_a_key_of_another_kind_is_not_unwrapped(path: Path) -> None:
    """The error names the kind in the setting."""
    kinds: list[tuple[MasterKeys, Any]] = [
        (master_keys(f"file:{path}"), "kms:arn"),
        (master_keys("kms:alias/plates", aws=AwsClients()), "file:abcd"),
        (master_keys("kms:alias/plates"), "file:abcd"),
    ]
    for keys, by in kinds:
        with pytest.raises(ConfigurationError, match="PLATE_MASTER_KEY is of kind"):
            keys.unwrap(WrappedKey(b"", by), "hq")
