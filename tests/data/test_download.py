"""Downloads, from ``file://`` addresses."""

from __future__ import annotations

import gzip
import hashlib
import zlib

import pytest

from hypernas import data
from hypernas.data.download import DOWNLOADS, Download
from hypernas.errors import DataError

SUM = zlib.crc32(b"some bytes").to_bytes(4, "little")
"""where a gzip file says what it unpacks to"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    source = tmp_path / "server"
    source.mkdir()
    (source / "a.gz").write_bytes(gzip.compress(b"some bytes"))
    digest = hashlib.sha256(b"some bytes").hexdigest()
    monkeypatch.setitem(DOWNLOADS, "toy", Download(source.as_uri() + "/", {"a.gz": digest}))
    return source


def test_fetch_into_home(toy, own_places):
    assert data.fetch("toy") == own_places / "toy"
    assert (own_places / "toy" / "a.gz").read_bytes()[-8:-4] == SUM
    (toy / "a.gz").unlink()
    data.fetch("toy")  # what is there and whole is not fetched again


def test_a_damaged_file_is_fetched_again(toy, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.gz").write_bytes(b"some")
    data.fetch("toy", folder=tmp_path / "mine", base_url=toy.as_uri())
    assert (tmp_path / "mine" / "a.gz").read_bytes()[-8:-4] == SUM


def test_another_gzip_header_is_no_other_file(toy, tmp_path):
    (toy / "a.gz").write_bytes(gzip.compress(b"some bytes", mtime=1))
    data.fetch("toy", folder=tmp_path)


@pytest.mark.parametrize("content", [b"no gzip", b"", gzip.compress(b"other", mtime=1)])
def test_wrong_bytes_leave_nothing(toy, tmp_path, content):
    (toy / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.gz is not the file it should be: .* SHA-256"):
        data.fetch("toy", folder=tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_no_network(toy, tmp_path):
    (toy / "a.gz").unlink()
    with pytest.raises(DataError, match=r"cannot download file://.*a\.gz: .*check the network"):
        data.fetch("toy", folder=tmp_path / "mine")
    with pytest.raises(DataError, match=r"cannot download nonsense/a\.gz"):
        data.fetch("toy", folder=tmp_path / "mine", base_url="nonsense")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_connection_that_breaks_off(toy, tmp_path, monkeypatch):
    def broken(*_):
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr("urllib.response.addinfourl.read", broken, raising=False)
    with pytest.raises(DataError, match=r"a\.gz: Connection reset"):
        data.fetch("toy", folder=tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_unknown_name_lists_the_known():
    with pytest.raises(DataError, match="'mnist' cannot be fetched; known are: fashion-mnist"):
        data.fetch("mnist")
