"""What a run works with follows from its configuration; what cannot work together is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hypernas import workplace
from hypernas.config import Config
from hypernas.errors import ConfigError
from hypernas.fitting import RECIPES
from hypernas.workplace import Workplace

SMALL = f"{Path(__file__).parent / 'small_space.py'}:small"
"""a space with ease"""


def place(tmp_path: Path, **settings: Any) -> Workplace:
    return Workplace(tmp_path / "run", Config(**{"data": "digits", "space": SMALL} | settings))


def test_a_recipe_decides_what_the_user_leaves_open(tmp_path: Path) -> None:
    assert place(tmp_path).fit_recipe == RECIPES["default"]
    classic = place(tmp_path, fit_recipe="classic").fit_recipe
    assert classic == RECIPES["classic"]
    assert (classic.rate, classic.batch, classic.anneal) == (1e-3, 50, 0.5)
    own = place(tmp_path, fit_recipe="classic", rate=0.3, batch=7, anneal=0.0).fit_recipe
    assert (own.rate, own.batch, own.anneal, own.optimiser) == (0.3, 7, 0.0, "Adam")
    assert place(tmp_path, anneal=0.25).fit_recipe.anneal == 0.25


def test_only_a_space_with_ease_is_annealed(tmp_path: Path) -> None:
    assert place(tmp_path, space="cell", fit_recipe="classic").fit_recipe.anneal == 0.0
    assert place(tmp_path, space="cell", anneal=0.0).fit_recipe.anneal == 0.0
    with pytest.raises(ConfigError, match=r"--anneal 0.5: space 'cell' has no option ease") as no:
        place(tmp_path, space="cell", anneal=0.5).fit_recipe  # noqa: B018
    assert "\n" not in str(no.value)


def test_ease_is_no_option_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set ease=0.5: .* give --anneal") as refused:
        place(tmp_path, options={"ease": 0.5}).space  # noqa: B018
    assert "\n" not in str(refused.value)


def test_a_fit_is_annealed_over_its_share_of_the_steps(tmp_path: Path) -> None:
    made = place(tmp_path, fit_recipe="classic", survey=20, examples=200)
    made.data = made.record_data()
    from hypernas.survey import survey

    made.survey = survey(made.candidates, seed=0, draws=20)
    work = made.fit(made.new_hypernet(), steps=60)
    assert [work.draws.ease(step) for step in (0, 15, 30)] == [0.0, 0.5, 1.0]
    assert work.batches.batch_size == 50


@pytest.mark.parametrize(("device", "layout"), [("cpu", True), ("cuda", False), ("cuda:1", False)])
def test_images_lie_in_channels_last_on_the_cpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, layout: bool
) -> None:
    """On a GPU torch's gradients of padded average pools are wrong in it."""
    made = place(tmp_path, device=device)
    made.data = made.record_data()
    monkeypatch.setattr(workplace, "Batches", lambda **given: given)
    given: Any = made.batches(made.splits.fit, 8)
    assert given["channels_last"] is layout
