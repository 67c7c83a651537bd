"""Master keys: in a file that nobody else may read, and in KMS (moto's)."""

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
def test_a_file_wraps_and_unwraps(tmp_path_factory: pytest.TempPathFactory, data_key: bytes, site_id: str) -> None:
    """Any key of any site, bound to the site."""
    path = tmp_path_factory.getbasetemp() / "property.key"
    if not path.exists():
        make_key_file(path)
    keys = FileMasterKeys(path)
    wrapped = keys.wrap(data_key, site_id)
    assert keys.unwrap(wrapped, site_id) == data_key
    assert data_key not in wrapped.wrapped
    with pytest.raises(PermanentError):
        keys.unwrap(wrapped, site_id + "x")


def test_new_keys_are_new(path: Path) -> None:
    """Each site's is its own."""
    keys = FileMasterKeys(path)
    first, wrapped = keys.new_key("hq")
    second, _ = keys.new_key("hq")
    assert first != second
    assert keys.unwrap(wrapped, "hq") == first


def test_the_last_key_of_a_file_wraps_and_all_unwrap(path: Path) -> None:
    """So a master key can be replaced while what it wrapped is still in use."""
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


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    """The mode is looked at each time a key is needed."""
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        FileMasterKeys(path).new_key("hq")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no master key"),
        ("name not-base64\n", "not a master key"),
        ("name c2hvcnQ=\n", "32 bytes"),
        ("é", "read"),
    ],
)
def test_a_broken_file_is_named_and_not_quoted(path: Path, text: str, said: str) -> None:
    """What stands in it may be most of a key."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said) as refused:
        FileMasterKeys(path).wrap(b"k" * 32, "hq")
    assert str(path) in str(refused.value)
    assert not text or text.strip() not in str(refused.value)


def test_files_are_neither_overwritten_nor_made_up(path: Path, tmp_path: Path) -> None:
    """A key that is gone is gone."""
    with pytest.raises(ConfigurationError, match="exists"):
        make_key_file(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        add_master_key(tmp_path / "none.key")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make_key_file(tmp_path / "no-folder" / "plates.key")


def test_a_changed_wrapping_is_noticed(path: Path) -> None:
    """Not unwrapped into some other key."""
    keys = FileMasterKeys(path)
    wrapped = keys.wrap(b"k" * 32, "hq")
    with pytest.raises(PermanentError, match="site hq"):
        keys.unwrap(wrapped._replace(wrapped=wrapped.wrapped[:-1] + b"\0"), "hq")


def test_kms_makes_wraps_and_unwraps(kms: tuple[AwsClients, str]) -> None:
    """A data key comes from KMS and is opened by it; moved to another key of KMS it stays the same."""
    aws, arn = kms
    keys = KmsMasterKey(arn, aws=aws)
    data_key, wrapped = keys.new_key("hq")
    assert len(data_key) == 32
    assert wrapped.wrapped_by == f"kms:{arn}"
    assert keys.unwrap(wrapped, "hq") == data_key
    other = KmsMasterKey(aws.client("kms").create_key()["KeyMetadata"]["Arn"], aws=aws)
    again = other.wrap(data_key, "hq")
    assert again.wrapped_by != wrapped.wrapped_by
    assert keys.unwrap(again, "hq") == data_key  # whichever key wrapped it is asked


def test_kms_binds_a_key_to_its_site(kms: tuple[AwsClients, str]) -> None:
    """By its encryption context, which a policy can name."""
    aws, arn = kms
    keys = KmsMasterKey(arn, aws=aws)
    _, wrapped = keys.new_key("hq")
    with pytest.raises(PermanentError, match="unwrapping the key of site yard"):
        keys.unwrap(wrapped, "yard")
    with pytest.raises(PermanentError, match="NotFound"):
        KmsMasterKey("alias/none", aws=aws).new_key("hq")


def test_a_kms_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The events wait for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = AwsClients(region="eu-central-1", connect_timeout_s=0.2)
    with pytest.raises(TransientError):
        KmsMasterKey("alias/plates", aws=aws).new_key("hq")


@pytest.mark.parametrize("setting", [None, "", "kms:", "file:", "vault:x", "/a/path"])
def test_a_setting_that_names_nothing_is_refused(setting: str | None) -> None:
    """With the two forms that there are."""
    with pytest.raises(ConfigurationError, match="kms:KEY"):
        master_keys(setting)


def test_a_setting_names_a_kind(path: Path) -> None:
    """And a key that another kind wrapped is not tried."""
    kinds: list[tuple[MasterKeys, Any]] = [
        (master_keys(f"file:{path}"), "kms:arn"),
        (master_keys("kms:alias/plates", aws=AwsClients()), "file:abcd"),
        (master_keys("kms:alias/plates"), "file:abcd"),
    ]
    for keys, by in kinds:
        with pytest.raises(ConfigurationError, match="PLATE_MASTER_KEY is of kind"):
            keys.unwrap(WrappedKey(b"", by), "hq")
