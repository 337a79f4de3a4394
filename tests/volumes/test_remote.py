"""Addresses: what is fetched, kept, tried again, and said when it cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import striate
from striate.errors import DataError, UsageError
from striate.files import read_regular
from striate.volumes import mount, mounting, remote
from tests.volumes.packing import ITEMS, NAMES, as_folder, as_tars

SECRET = "AKIA7SECRETSECRET"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """fsspec's memory, empty, with a fresh cache and no waiting."""
    import fsspec

    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "WAIT", 0.0)
    remote._info.clear()
    remote._system.cache_clear()
    mounting._planned_once.cache_clear()
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def upload(system: Any, folder: Path, to: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{to}/{path.relative_to(folder)}", path.read_bytes())


def test_a_remote_folder_is_the_folder(tmp_path: Path, store: Any) -> None:
    folder = as_folder(tmp_path)
    upload(store, folder, "/bucket/photos")
    source = striate.open_source("memory://bucket/photos")
    assert source.classes == NAMES
    assert source.fingerprint == striate.open_source(str(folder)).fingerprint
    fetched = list((tmp_path / "cache" / "fetched").iterdir())
    assert len(fetched) == len(ITEMS)


def test_remote_tars_are_the_tars(tmp_path: Path, store: Any) -> None:
    local = striate.open_source(as_tars(tmp_path))
    upload(store, tmp_path, "/bucket")
    source = striate.open_source("wds:memory://bucket/photos-{000..002}.tar")
    assert [len(s) for s in source.splits.values()] == [len(s) for s in local.splits.values()]
    assert source.classes == NAMES and source.fingerprint == local.fingerprint


def test_what_is_kept_stays_below_its_bound(tmp_path: Path, store: Any, monkeypatch) -> None:
    upload(store, as_folder(tmp_path), "/bucket/photos")
    monkeypatch.setenv("STRIATE_CACHE_GB", "2e-6")  # two kilobytes, and images of about 400 bytes
    for address in remote.listed("memory://bucket/photos", ".png"):
        assert len(Path(remote.local(address)).read_bytes()) == remote.size(address)
    kept = [p.stat().st_size for p in (tmp_path / "cache" / "fetched").iterdir()]
    assert 1000 < sum(kept) <= 2000


def test_shards_that_find_no_room_are_read_in_parts(
    tmp_path: Path, store: Any, monkeypatch
) -> None:
    as_tars(tmp_path)
    upload(store, tmp_path, "/bucket")
    monkeypatch.setenv("STRIATE_CACHE_GB", "1e-6")
    root = mount("wds:memory://bucket/photos-{000..002}.tar")
    assert read_regular(root / "00007.png") == ITEMS[7][1]
    assert not list((tmp_path / "cache").glob("fetched/*"))


class Failing:
    """A file system that fails `times` times before it gives what `inner` gives."""

    def __init__(self, inner: Any, error: Any, times: int) -> None:
        self.inner, self.error, self.times = inner, error, times

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in ("find", "info", "open", "cat_file"):
            return method

        def call(*args: Any, **more: Any) -> Any:
            if self.times > 0:
                self.times -= 1
                raise self.error
            return method(*args, **more)

        return call


class SlowDownError(Exception):
    """As a service that throttles says it."""


def test_a_throttled_request_is_tried_again(tmp_path: Path, store: Any, monkeypatch) -> None:
    """And is not taken for a file that is not there (awslabs/mountpoint-s3#1422)."""
    upload(store, as_folder(tmp_path), "/bucket/photos")
    failing = Failing(store, SlowDownError("Please reduce your request rate"), 3)
    monkeypatch.setattr(remote, "_system", lambda scheme: failing)
    assert len(striate.open_source("memory://bucket/photos")) == len(ITEMS)
    failing.times = 100
    remote._info.clear()
    mounting._planned_once.cache_clear()
    with pytest.raises(DataError, match=r"could not be read in 4 tries \(SlowDownError\)"):
        striate.open_source("memory://bucket/photos")


def test_half_an_answer_is_not_taken_for_a_file(tmp_path: Path, store: Any, monkeypatch) -> None:
    """An incomplete read is one more failure (fsspec/s3fs#525)."""
    upload(store, as_folder(tmp_path), "/bucket/photos")
    store.pipe_file("/bucket/photos/ant/00000.png", ITEMS[0][1][:100])
    real = store.info

    def info(path: str, **more: Any) -> Any:
        known = dict(real(path, **more))
        return known | {"size": len(ITEMS[0][1])} if path.endswith("ant/00000.png") else known

    monkeypatch.setattr(store, "info", info)
    found = store.find("memory://bucket/photos", detail=True)
    found["/bucket/photos/ant/00000.png"]["size"] = len(ITEMS[0][1])
    monkeypatch.setattr(store, "find", lambda *a, **k: found)
    source = striate.open_source("memory://bucket/photos")
    assert [d.path for d in source.damaged] == ["ant/00000.png"]
    assert "4 tries" in source.damaged[0].reason
    assert len(list((tmp_path / "cache" / "fetched").iterdir())) == len(ITEMS) - 1


class NoCredentialsError(Exception):
    """As botocore calls it."""


@pytest.mark.parametrize(
    "error",
    [NoCredentialsError(f"Unable to locate credentials {SECRET}"), PermissionError(f"Access Denied for {SECRET}")],
    ids=["none", "denied"],
)  # fmt: skip
def test_missing_credentials_are_said_and_never_printed(store: Any, monkeypatch, error) -> None:
    """With the way to a public bucket (intake/intake#194)."""
    monkeypatch.setattr(remote, "_system", lambda scheme: Failing(store, error, 100))
    with pytest.raises(DataError) as caught:
        striate.open_source("s3://bucket/photos")
    assert "credentials are missing" in str(caught.value)
    assert "aws configure" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "address",
    [f"https://me:{SECRET}@host/photos/", f"https://host/a.tar?X-Amz-Signature={SECRET}"],
    ids=["password", "signature"],
)
def test_an_address_with_credentials_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="was given with credentials in it") as caught:
        striate.open_source(address)
    assert SECRET not in str(caught.value)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    remote._system.cache_clear()
    with pytest.raises(UsageError, match="pip install s3fs"):
        striate.open_source("s3://bucket/photos")
    with pytest.raises(UsageError, match="there is no file system nowhere://"):
        striate.open_source("nowhere://bucket/photos")


def test_an_address_of_nothing_is_said(store: Any) -> None:
    with pytest.raises(DataError, match="memory://bucket/nothing"):
        striate.open_source("memory://bucket/nothing")
