"""Image folders: layouts, pixels, and each refusal."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hypernas import data
from hypernas.data import images, storage
from hypernas.errors import DataError


def test_pixels_and_labels(tmp_path, make_folder):
    root = make_folder(tmp_path / "pets")
    dataset = data.load(str(root))
    assert dataset.name == "pets"
    assert dataset.signature.input_shape == (3, 6, 5)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    expected = np.asarray(Image.open(root / "dog" / "1.png")).transpose(2, 0, 1)
    assert np.array_equal(dataset.train.inputs[4], expected)


def test_train_and_test(tmp_path, make_folder):
    make_folder(tmp_path / "train")
    make_folder(tmp_path / "test", count=1)
    dataset = data.load(str(tmp_path))
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.test)) == (6, 2)


def test_greys_stay_grey_unless_one_is_coloured(tmp_path, make_folder):
    root = make_folder(tmp_path, mode="L")
    assert data.load(str(root)).signature.input_shape == (1, 6, 5)
    Image.new("RGB", (5, 6), (9, 8, 7)).save(root / "dog" / "colour.png")
    dataset = data.load(str(root))
    assert dataset.signature.input_shape == (3, 6, 5)
    assert dataset.train.inputs[-1, :, 0, 0].tolist() == [9, 8, 7]


def test_hidden_and_other_files_are_ignored(tmp_path, make_folder):
    root = make_folder(tmp_path)
    (root / ".git" / "x").mkdir(parents=True)
    (root / "README.txt").write_text("hello")
    for name in (".DS_Store", "._0.png", "notes.txt", "Thumbs.db"):
        (root / "cat" / name).write_text("no image")
    (root / "cat" / "deep").mkdir()
    Image.new("RGB", (5, 6)).save(root / "cat" / "deep" / "LOUD.PNG")
    assert np.bincount(data.load(str(root)).train.labels).tolist() == [4, 3]


def test_odd_modes(tmp_path):
    """16-bit, palette with transparency, alpha and sideways pictures are read as shown."""
    Image.fromarray(np.full((2, 3), 0x1234, np.uint16)).save(tmp_path / "deep.png")
    assert images.read_header(tmp_path / "deep.png") == (3, 2, True)
    assert images.read_image(tmp_path / "deep.png", grey=True, size=None).max() == 0x12
    palette = Image.new("RGB", (3, 2), (1, 2, 3)).quantize()
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x10")
    assert images.read_image(tmp_path / "palette.png", grey=False, size=None)[:, 0, 0].max() < 9
    Image.new("RGBA", (3, 2), (1, 2, 3, 4)).save(tmp_path / "alpha.png")
    assert images.read_image(tmp_path / "alpha.png", grey=False, size=None)[2, 0, 0] == 3
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "side.jpg", exif=exif)
    assert images.read_header(tmp_path / "side.jpg") == (20, 30, False)
    assert images.read_image(tmp_path / "side.jpg", grey=False, size=None).shape == (3, 30, 20)


def test_mixed_sizes(tmp_path, make_folder):
    root = make_folder(tmp_path)
    Image.new("RGB", (9, 7)).save(root / "cat" / "big.png")
    with pytest.raises(DataError, match=r"2 sizes: 5x6 \(6\), 9x7 \(1\).*--image-size N"):
        data.load(str(root))
    assert data.load(str(root), image_size=4).signature.input_shape == (3, 4, 4)
    for side in range(10, 16):
        Image.new("RGB", (side, 7)).save(root / "cat" / f"{side}.png")
    with pytest.raises(DataError, match=r"8 sizes: .* and 3 more"):
        data.load(str(root))


def test_resize_keeps_the_centre():
    """The shorter side is scaled, so a wide picture loses its sides and nothing else."""
    pixels = np.zeros((8, 24), np.uint8)
    pixels[:, 8:16] = 200
    assert np.asarray(images.resize(Image.fromarray(pixels), 8)).min() == 200
    small = np.asarray(images.resize(Image.fromarray(pixels), 4))
    assert small.shape == (4, 4)
    assert small[:, 1:3].min() == 200


def test_resize_is_antialiased():
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = np.asarray(images.resize(Image.fromarray(checks.astype(np.uint8)), 8)).astype(int)
    assert abs(small - 127).max() <= 2


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_image(tmp_path, make_folder, damage):
    root = make_folder(tmp_path)
    path = root / "cat" / "1.png"
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:60], "text": b"no image", "empty": b""}[damage])
    with pytest.raises(DataError, match=r"cat/1\.png cannot be read.*--skip-bad") as caught:
        data.load(str(root))
    assert "\n" not in str(caught.value)
    dataset = data.load(str(root), skip_bad=True)
    assert dataset.skipped == (str(path),)
    assert dataset.train.labels.tolist() == [0, 0, 1, 1, 1]
    expected = np.asarray(Image.open(root / "cat" / "2.png")).transpose(2, 0, 1)
    assert np.array_equal(dataset.train.inputs[1], expected)


def test_skipping_a_whole_class(tmp_path, make_folder):
    root = make_folder(tmp_path)
    for path in (root / "dog").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="dog holds no image that can be read"):
        data.load(str(root), skip_bad=True)


def test_layout_errors(tmp_path, make_folder):
    with pytest.raises(DataError, match=f"{tmp_path} has no class folders"):
        data.load(str(tmp_path))
    make_folder(tmp_path / "one", ("cat",))
    with pytest.raises(DataError, match="only one class folder, cat/"):
        data.load(str(tmp_path / "one"))
    (tmp_path / "one" / "dog").mkdir()
    with pytest.raises(DataError, match=r"one/dog holds no images \(.*\.png"):
        data.load(str(tmp_path / "one"))


def test_train_and_test_must_agree(tmp_path, make_folder):
    make_folder(tmp_path / "train")
    make_folder(tmp_path / "test", ("cat", "cow"))
    with pytest.raises(DataError, match="train has no folder cow/"):
        data.load(str(tmp_path))
    (tmp_path / "test").rename(tmp_path / "val")
    with pytest.raises(DataError, match="holds train/ and also val/"):
        data.load(str(tmp_path))


def test_a_class_may_be_called_train(tmp_path, make_folder):
    assert data.load(str(make_folder(tmp_path, ("bus", "train")))).classes == ("bus", "train")


def test_what_memory_has_no_room_for(tmp_path, make_folder, monkeypatch):
    root = make_folder(tmp_path / "pets")
    plain = data.load(str(root))
    monkeypatch.setattr(storage, "free_memory", lambda: 100)
    nameless = data.load(str(root))
    assert isinstance(nameless.train.inputs, np.memmap)
    cached = data.load(str(root), cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]
    monkeypatch.setattr("hypernas.data.folder.read_image", None)  # not decoded again
    again = data.load(str(root), cache=tmp_path / "cache")
    assert len({d.fingerprint for d in (plain, nameless, cached, again)}) == 1
    few = again.train.take(np.array([4, 0]))
    assert np.array_equal(few.inputs, plain.train.inputs[[4, 0]])
    assert isinstance(few.inputs, np.memmap)


def test_cache_knows_changed_files_and_forgets_damaged_ones(tmp_path, make_folder, monkeypatch):
    root = make_folder(tmp_path / "pets")
    monkeypatch.setattr(storage, "free_memory", lambda: 100)
    before = data.load(str(root), cache=tmp_path / "cache")
    Image.new("RGB", (5, 6), (9, 9, 9)).save(root / "cat" / "0.png")
    after = data.load(str(root), cache=tmp_path / "cache")
    assert before.fingerprint != after.fingerprint
    path = root / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    for _ in range(2):
        assert data.load(str(root), cache=tmp_path / "cache", skip_bad=True).skipped == (str(path),)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_full_disk_is_said(tmp_path, make_folder, monkeypatch):
    monkeypatch.setattr(storage, "free_memory", lambda: 0)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1}))
    with pytest.raises(DataError, match=r"GB free; .*--image-size"):
        data.load(str(make_folder(tmp_path)))
