"""Published data sets: found by name in each place, recognised by what a folder holds."""

from __future__ import annotations

import numpy as np
import pytest
from published import small, write_cifar10, write_cifar100, write_modelnet

from hypernas import data
from hypernas.config import Config, in_full
from hypernas.errors import DataError

PUBLISHED = ("cifar10", "cifar100", "imagenet32", "modelnet10", "modelnet40", "stl10")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small(monkeypatch)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def row(name):
    return next(row for row in data.known() if row.name == name)


@pytest.mark.parametrize(
    "place",
    [
        "home/cifar10/cifar-10-batches-py",
        "home/cifar10",
        "home/cifar-10-batches-py",
        "home",
        "cache/cifar10",
        "debian/cifar10",
        "here/cifar10",
    ],
)
def test_found_in_each_place(tmp_path, here, draw, place):
    write_cifar10(tmp_path / place, draw, form="py")
    assert data.load("cifar10").name == "cifar10"
    found = row("cifar10")
    assert found.available
    assert found.where.endswith("(Python version)")
    assert data.load(str(tmp_path / place)).fingerprint == data.load("cifar10").fingerprint


def test_bytes_come_before_pickles(own_places, here):
    for form, seed in (("py", 1), ("bin", 2)):
        folder = own_places / f"cifar-10-batches-{form}"
        write_cifar10(folder, np.random.default_rng(seed), form=form)
    assert row("cifar10").where == f"{own_places / 'cifar-10-batches-bin'} (binary version)"
    binary = data.load(str(own_places / "cifar-10-batches-bin"))
    assert data.load("cifar10").fingerprint == binary.fingerprint


def test_images_by_the_name_of_a_published_set_go_on_working(own_places, here, make_folder):
    make_folder(own_places / "cifar10" / "train")
    make_folder(own_places / "cifar10" / "test")
    assert data.load("cifar10").classes == ("cat", "dog")
    make_folder(here / "cifar10", ("car", "ship"))
    assert data.load("cifar10").classes == ("car", "ship")
    assert data.load("cifar10/").classes == ("car", "ship")


def test_arrays_by_the_name_of_a_published_set_go_on_working(own_places, here):
    own_places.mkdir()
    np.savez(own_places / "stl10.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    assert len(data.load("stl10").train) == 2


def test_images_of_other_sets_in_home_are_not_taken_for_it(own_places, here, make_folder):
    make_folder(own_places / "pets")
    make_folder(own_places / "flowers")
    with pytest.raises(DataError, match="cifar10 is not on this machine"):
        data.load("cifar10")


def test_missing_says_which_files_go_where(own_places, here):
    for name in PUBLISHED:
        assert not row(name).available
        with pytest.raises(DataError) as caught:
            data.load(name)
        text = str(caught.value)
        assert text.startswith(f"{name} is not on this machine (looked in {own_places / name}, ")
        assert f"put its files into {own_places / name}: " in text
        assert "\n" not in text
    assert (
        "data_batch_1.bin, …, test_batch.bin, batches.meta.txt (binary version), or"
        in row("cifar10").where
    )


def test_several_sets_in_one_folder_are_told_apart(own_places, here, draw):
    write_modelnet(own_places, draw)
    write_modelnet(own_places, draw, classes=40, each=1)
    assert (data.load("modelnet10").name, data.load("modelnet40").name) == PUBLISHED[3:5]
    with pytest.raises(DataError, match="holds modelnet10 and modelnet40; give the name of one"):
        data.load(str(own_places))
    path = own_places / "modelnet40_rot12_train.npz"
    assert data.load(str(path)).name == "modelnet40"


def test_cifar100_files_are_no_class_folders(tmp_path, draw):
    write_cifar100(tmp_path / "mine", draw, form="py")
    assert data.load(str(tmp_path / "mine")).name == "cifar100"
    assert data.load(str(tmp_path / "mine" / "train")).name == "cifar100"


def test_names_stay_and_paths_become_full(own_places, here, draw, make_folder):
    make_folder(here / "pets")
    for given, expected in (
        ("digits", "digits"),
        ("cifar10", "cifar10"),
        ("stl10:3", "stl10:3"),
        ("pets", str(here / "pets")),
        ("pets:3", f"{here / 'pets'}:3"),
        ("elsewhere", "elsewhere"),
    ):
        assert in_full(Config(data=given)).data == expected
    make_folder(here / "cifar10")
    assert in_full(Config(data="cifar10")).data == str(here / "cifar10")
    (here / "stl10").mkdir()
    assert in_full(Config(data="stl10:3")).data == "stl10:3"
