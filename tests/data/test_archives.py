"""What an .npz file holds is told by the names of its arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hypernas import data
from hypernas.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5), np.uint8)
MASKS = np.random.default_rng(1).integers(0, 3, (4, 6, 5))
BOXES = np.array([[[0, 0, 2, 3], [1, 1, 5, 6]]] * 4)
BOX_LABELS = np.array([[0, 1], [1, -1], [-1, -1], [0, 0]])
LABELS = np.array([0, 1, 1, 0])
ROWS: dict[str, Any] = {
    "texts": np.array(["one two", "two", "three", "four one"]),
    "tokens": np.arange(12).reshape(4, 3),
    "table": np.arange(8.0).reshape(4, 2),
}


def load(path: Path, **arrays: Any) -> data.Dataset:
    np.savez(path / "few.npz", **arrays)
    return data.load(str(path / "few.npz"))


@pytest.mark.parametrize("name", ROWS)
def test_rows(tmp_path: Path, name: str) -> None:
    found = load(tmp_path, **{name: ROWS[name], "labels": np.array(["b", "a", "a", "b"])})
    assert (found.classes, found.train.labels.tolist()) == (("a", "b"), [1, 0, 0, 1])
    assert found.train.kind == {"texts": "text"}.get(name, name)
    tested = {f"test_{name}": ROWS[name][:2], "test_labels": LABELS[:2]}
    both = load(tmp_path, **{name: ROWS[name], "labels": LABELS}, **tested)
    assert both.test is not None
    np.testing.assert_array_equal(both.test.inputs, both.train.inputs[:2])
    assert both.test.labels.tolist() == [0, 1]


def test_masks(tmp_path: Path) -> None:
    masks = MASKS.copy()
    masks[0, 0, 0] = 255
    found = load(tmp_path, images=IMAGES, masks=masks)
    assert (found.train.task, found.classes) == ("segmentation", ("0", "1", "2"))
    assert found.train.labels[0, 0, 0] == 0
    assert (found.train.labels[1:] == MASKS[1:] + 1).all()
    assert found.signature.task == "segmentation"


def test_boxes(tmp_path: Path) -> None:
    names = np.array(["cup", "jug"])
    found = load(tmp_path, images=IMAGES, boxes=BOXES, labels=BOX_LABELS, classes=names)
    assert (found.train.task, found.classes) == ("detection", ("cup", "jug"))
    np.testing.assert_allclose(found.train.labels[0, 1], [0.2, 1 / 6, 1, 1, 1])
    assert found.train.labels[..., 4].tolist() == BOX_LABELS.tolist()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"texts": ROWS["table"], "labels": LABELS}, "store text, (n,)"),
        ({"tokens": -ROWS["tokens"], "labels": LABELS}, "store integers (n, length) from 0"),
        ({"table": ROWS["texts"], "labels": LABELS}, "store numbers (n, columns)"),
        ({"table": np.full((4, 2), np.inf), "labels": LABELS}, "infinite"),
        ({"table": ROWS["table"]}, "no array 'labels'"),
        ({"table": ROWS["table"], "labels": LABELS[:3]}, "store one label each"),
        (
            {
                "table": ROWS["table"],
                "labels": LABELS,
                "test_table": ROWS["table"][:, :1],
                "test_labels": LABELS,
            },
            "another shape",
        ),
        ({"images": IMAGES, "masks": MASKS[:, 1:]}, "a mask of its size for each image"),
        ({"images": IMAGES, "masks": MASKS - 1}, "number the classes from 0 to 254"),
        ({"images": IMAGES, "masks": MASKS * 0}, "no classes to tell apart"),
        ({"images": IMAGES, "boxes": BOXES}, "no array 'labels'"),
        ({"images": IMAGES, "boxes": BOXES, "labels": BOX_LABELS[:, :1]}, "expected (n, most, 4)"),
        ({"images": IMAGES, "boxes": BOXES + 1, "labels": BOX_LABELS}, "box 1 of image 0 is"),
        (
            {
                "images": IMAGES,
                "masks": MASKS.clip(0, 1),
                "test_images": IMAGES,
                "test_masks": MASKS,
            },
            "hold class 2, but there are 2 classes",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, **arrays)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def write_folder(root: Path, *, sides: tuple[int, int] = (6, 5)) -> Path:
    for number, (image, mask) in enumerate(zip(IMAGES, MASKS, strict=True)):
        for kind, pixels in (("images", image), ("masks", mask.astype(np.uint8))):
            (root / kind).mkdir(parents=True, exist_ok=True)
            shown = Image.fromarray(pixels)
            if number == 3 and kind == "masks":
                shown = shown.resize(sides[::-1])
            shown.save(root / kind / f"{number}.png")
    return root


def test_a_folder_of_images_and_masks(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets")
    (tmp_path / "pets" / "classes.txt").write_text("ground\ncat\ndog\n")
    found = data.load(str(tmp_path / "pets"))
    assert found.classes == ("ground", "cat", "dog")
    assert (found.train.inputs[:, 0] == IMAGES).all()
    assert (found.train.labels == MASKS + 1).all()
    assert found.test is None
    assert data.load(str(tmp_path / "pets"), image_size=5).train.shape == (1, 5, 5)


def test_a_folder_with_a_test_part(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_folder(tmp_path / "pets" / part)
    found = data.load(str(tmp_path / "pets"))
    assert found.test is not None
    assert (found.test.labels == found.train.labels).all()


def test_masks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "odd", sides=(3, 3))
    with pytest.raises(DataError, match=r"3\.png is \(6, 5\) and its mask \(3, 3\)"):
        data.load(str(root))
    (root / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match=r"3\.png has no mask in .*masks"):
        data.load(str(root))
