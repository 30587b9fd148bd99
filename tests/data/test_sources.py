"""Names and paths: what is found where, and what is said when it is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hypernas import data
from hypernas.data import places
from hypernas.errors import DataError

REAL_PLACES = [
    folder
    for folder in (
        Path(os.environ.get("HYPERNAS_DATA", "~/.cache/hypernas")).expanduser() / "fashion-mnist",
        Path(os.environ.get("HYPERNAS_DATA", "~/.cache/hypernas")).expanduser(),
        places.DEBIAN / "fashion-mnist",
    )
    if (folder / "train-images-idx3-ubyte.gz").is_file()
]


def test_digits():
    digits = data.load("digits")
    assert digits.signature.input_shape == (1, 8, 8)
    assert (len(digits.train), digits.test, digits.signature.outputs) == (1797, None, 10)
    assert digits.train.inputs.max() == 255
    assert data.load("digits").fingerprint == digits.fingerprint


def test_image_size_resizes_arrays_too():
    assert data.load("digits", image_size=14).train.inputs.shape == (1797, 1, 14, 14)
    with pytest.raises(DataError, match="--image-size 0"):
        data.load("digits", image_size=0)


@pytest.mark.parametrize("place", ["home/fashion-mnist", "home", "cache/fashion-mnist", "debian"])
def test_fashion_is_found_in_each_place(tmp_path, make_idx, place):
    folder = tmp_path / place / ("fashion-mnist" if place == "debian" else "")
    make_idx(folder)
    fashion = data.load("fashion-mnist")
    assert fashion.name == "fashion-mnist"
    assert fashion.classes[0] == "T-shirt/top"
    assert fashion.test is not None
    where = {row.name: row for row in data.known()}["fashion-mnist"]
    assert where.available
    assert where.where == str(folder)


def test_fashion_missing_says_where_it_looked_and_the_ways_out(tmp_path):
    with pytest.raises(DataError) as caught:
        data.load("fashion-mnist")
    text = str(caught.value)
    for word in (str(tmp_path / "home"), "debian", "hypernas data fetch fashion-mnist"):
        assert word in text
    assert {row.where for row in data.known() if row.available} == {"inside scikit-learn"}


def test_fashion_of_another_number_of_classes(tmp_path, make_idx):
    make_idx(tmp_path / "home" / "fashion-mnist", classes=5)
    with pytest.raises(DataError, match="5 classes, but fashion-mnist has 10"):
        data.load("fashion-mnist")


def test_unknown_name_lists_the_known_and_the_near():
    with pytest.raises(DataError, match=r"digits, fashion-mnist.*Did you mean fashion-mnist"):
        data.load("fashion_mnist")


def test_mistyped_path_names_the_near_one(tmp_path, make_folder):
    make_folder(tmp_path / "flowers")
    with pytest.raises(DataError, match=r"Did you mean .*/flowers"):
        data.load(str(tmp_path / "flower"))


def test_name_in_home(own_places, make_folder, draw):
    make_folder(own_places / "pets")
    np.savez(own_places / "dots.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    assert data.load("pets").classes == ("cat", "dog")
    assert data.load("dots").name == "dots"


def test_other_files_are_refused(tmp_path):
    (tmp_path / "data.tsv").write_text("1,2")
    with pytest.raises(DataError, match=r"data\.tsv is neither a folder nor a file of \.npz"):
        data.load(str(tmp_path / "data.tsv"))


@pytest.mark.skipif(not REAL_PLACES, reason="Fashion-MNIST is not on this machine")
def test_real_fashion_mnist():
    fashion = data.load(str(REAL_PLACES[0]))
    assert fashion.test is not None
    assert (len(fashion.train), len(fashion.test)) == (60_000, 10_000)
    assert np.bincount(fashion.train.labels).tolist() == [6000] * 10
    normal = data.Normalisation.of(fashion.train)
    assert normal.mean[0] == pytest.approx(0.2860, abs=1e-4)
    assert normal.std[0] == pytest.approx(0.3530, abs=1e-4)
