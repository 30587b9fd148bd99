"""An encoding says everything about an architecture: decoded, it is the same architecture."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import optuna
import pytest
from banked_space import LISTS
from optuna.trial import FixedTrial

from hypernas.choices import Architecture, Chooser, Draw, Perturb, Replay, canonical
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.spaces.banks.architecture import Block, drawn
from hypernas.spaces.banks.encoding import Encoding, Map, decode, layout_of
from hypernas.spaces.banks.settings import GATES, Settings
from hypernas.spaces.memory_bank import settings_of
from hypernas.study import FollowTrial, parameters
from hypernas.tasks import Signature

SHAPES = {1: (3, 16), 2: (3, 16, 16), 3: (1, 8, 8, 8)}
EVERYTHING = {k: v for k, v in LISTS.items() if k != "structures"} | {
    "macro": True,
    "persistent": 1,
}
SPACES: dict[str, tuple[int, dict[str, Any]]] = {
    # how many are drawn (a quarter of them in a quick test), and options
    "tiny": (250, {"preset": "tiny"}),
    "small": (40, {"preset": "small"}),
    "medium": (15, {"preset": "medium"}),
    "classic": (10, {"preset": "classic"}),
    "everything": (200, {**EVERYTHING, "depth": 2}),
    "everything, small": (15, {**EVERYTHING, "preset": "small"}),
    "signals": (250, {**EVERYTHING, "axes": 1, "depth": 1}),
    "volumes": (150, {**EVERYTHING, "axes": 3, "depth": 1}),
    "square": (200, {"square": True, "depth": 1}),
    "repeats": (200, {"repeats": 3, "gates": GATES, "depth": 1}),
    "one bank size": (200, {"cap": 1, "compression": 1, "depth": 1}),
    "leftover channels": (200, {"width": 3, "cap": 5, "compression": 3, "blocks": 2}),
    "fixed ops": (200, {"structures": ["1"], "kernel": 3, "dilation": 1, "groups": 1}),
    "own structures": (60, {"structures": ["1+1+1", "4"], "blocks": 1}),
    "one block": (200, {"blocks": 1, "gates": ["split", "product"]}),
}


def settings_for(name: str, **more: Any) -> Settings:
    options = dict(SPACES[name][1])
    shape = SHAPES[options.pop("axes", 2)]
    space = find("memory-bank", options | more)
    return settings_of(space.options, Signature(input_shape=shape, outputs=5))


def blocks_of(choose: Chooser, settings: Settings) -> tuple[Architecture, list[Block]]:
    blocks = drawn(choose, settings)
    choose.finish()
    return choose.choices, blocks


@pytest.mark.parametrize("part", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SPACES)
def test_a_decoded_map_is_the_architecture(name: str, part: int) -> None:
    settings, count = settings_for(name), -(-SPACES[name][0] // part)
    maps, architectures = set(), set()
    for seed in range(count):
        choices, blocks = blocks_of(Draw(random.Random(seed)), settings)
        values = Encoding(settings, blocks).map().values
        assert decode(settings, values) == choices
        assert len(values) == layout_of(settings).channels
        maps.add(values.tobytes())
        architectures.add(canonical(choices))
    assert len(maps) == len(architectures) > count / 2


def test_enough_architectures_are_decoded() -> None:
    assert sum(count for count, _ in SPACES.values()) >= 2000


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_a_walk_stays_in_the_space(probability: float) -> None:
    settings, rng = settings_for("everything", blocks=2, depth=1), random.Random(0)
    choices, _ = blocks_of(Draw(rng), settings)
    met = {canonical(choices)}
    for _ in range(250):
        choices, _ = blocks_of(Perturb(choices, probability, rng), settings)
        again, blocks = blocks_of(Replay(choices), settings)
        assert again == choices
        met.add(canonical(choices))
        if len(met) % 10 == 0:
            assert decode(settings, Encoding(settings, blocks).map().values) == choices
    assert len(met) > 125


def test_trials_are_followed() -> None:
    settings = settings_for("everything", depth=1)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for seed in range(20):
        draw = Draw(random.Random(seed))
        choices, _ = blocks_of(draw, settings)
        fixed = FixedTrial(parameters(choices, draw.decisions))
        assert blocks_of(FollowTrial(fixed), settings)[0] == choices
        suggested, blocks = blocks_of(FollowTrial(study.ask()), settings)
        assert blocks_of(Replay(suggested), settings)[0] == suggested
        assert decode(settings, Encoding(settings, blocks).map().values) == suggested


def test_the_layout_is_a_function_of_the_settings() -> None:
    assert layout_of(settings_for("everything")) is layout_of(settings_for("everything"))
    eased = layout_of(settings_for("everything", ease=0.0))
    assert eased.place == layout_of(settings_for("everything")).place
    sections = list(eased.sections.values())
    for before, after in zip(sections, sections[1:], strict=False):
        assert before.stop == after.start
    assert sections[0].start == 0
    assert sections[-1].stop == eased.channels


def test_what_cannot_differ_needs_no_section() -> None:
    plain = layout_of(settings_for("fixed ops", blocks=1))
    assert list(plain.sections) == ["weight", "first", "read", "written", "bank", "width"]
    assert not ({*LISTS} - {"structures"}) & layout_of(settings_for("tiny")).sections.keys()
    asked = {*LISTS, "keep", "shrink", "layer0"} - {"layers"}
    assert asked <= layout_of(settings_for("everything")).sections.keys()


# -- what a map shows -----------------------------------------------------------------------------

TWO_OPS: Architecture = {
    "block0.bank": 2,
    "block0.op0.reads": [0, 1],
    "block0.op0.width": 4,
    "block0.op0.opens": 1,
    "block0.op0.writes": [1],
    "block0.op0.structure": "1",
    "block0.op0.conv0.groups": 4,
    "block0.op0.more": True,
    "block0.op1.reads": [2],
    "block0.op1.width": 2,
    "block0.op1.opens": 0,
    "block0.op1.writes": [0],
    "block0.op1.structure": "2",
    "block0.op1.conv0.groups": 1,
    "block0.op1.conv1.groups": 2,
    "block0.op1.more": False,
}
"""on 4 units of input: the second op reads what the first one opened"""


def two_ops(slots: bool = False) -> tuple[Settings, Encoding, Map]:
    settings = settings_for(
        "fixed ops", blocks=1, structures=["1", "2"], unit=4, groups=4, most_bottleneck=1
    )
    _, blocks = blocks_of(Replay(TWO_OPS), settings)
    encoding = Encoding(settings, blocks)
    return settings, encoding, encoding.map(slots=slots)


def lit(settings: Settings, values: np.ndarray, section: str) -> list[list[object]]:
    """Return what each slice lights in a section."""
    found = layout_of(settings).sections[section]
    rows = values[found.start : found.stop].T
    return [[o for o, v in zip(found.options, row, strict=True) if v] for row in rows]


def test_a_map_by_hand() -> None:
    settings, encoding, code = two_ops()
    assert encoding.weights() == [(0, "mix", 2, 4), (1, "mix", 1, 2)]
    assert code.starts.tolist() == [0, 2]
    assert code.rows.tolist() == [4, 4, 2]
    assert lit(settings, code.values, "weight") == [["mix"]] * 3
    assert lit(settings, code.values, "first") == [[True], [], [True]]
    assert lit(settings, code.values, "read") == [[0, 1], [2, 3], [4, 5]]
    assert lit(settings, code.values, "written") == [[2, 3, 4, 5], [2, 3, 4, 5], [0, 1]]
    assert lit(settings, code.values, "bank") == [[2]] * 3
    assert lit(settings, code.values, "width") == [[4], [4], [2]]
    assert lit(settings, code.values, "structures") == [["1"], ["1"], ["2"]]
    assert lit(settings, code.values, "groups0") == [[4], [4], [1]]
    assert lit(settings, code.values, "groups1") == [[], [], [2]]
    assert set(np.unique(code.values)) == {0, 1}


def test_rows_are_output_units() -> None:
    _, _, code = two_ops()
    assert code.rows.tolist() == [4, 4, 2]


def test_a_map_of_all_convolutions() -> None:
    settings, encoding, code = two_ops(slots=True)
    weights = [(0, "mix", 2, 4), (0, "conv0", 1, 4), (1, "mix", 1, 2), (1, "conv0", 1, 2)]
    assert encoding.weights(slots=True) == [*weights, (1, "conv1", 1, 2)]
    assert code.starts.tolist() == [0, 2, 3, 4, 5]
    names = [["mix"], ["mix"], ["conv0"], ["mix"], ["conv0"], ["conv1"]]
    assert lit(settings, code.values, "weight") == names
    assert lit(settings, code.values, "first") == [[True], [], *[[True]] * 4]
    assert lit(settings, code.values, "read") == [[0, 1], [2, 3], [], [4, 5], [], []]


def test_paths_are_those_of_the_module() -> None:
    space = find("memory-bank", {**EVERYTHING, "repeats": 2})
    for seed in range(5):
        data = Signature(input_shape=SHAPES[2], outputs=5)
        module = space.build(Draw(random.Random(seed)), data)
        encoding, unit = module.encoding, module.encoding.settings.unit
        for number, what, slices, rows in encoding.weights(slots=True):
            path = encoding.path(number, what) + encoding.layer(number, what)
            shape = module.get_parameter(f"{path}.weight").shape
            assert shape[0] == rows * unit
            assert slices == -(-shape[1] // (encoding.settings.compression * unit))


# -- what is no map -------------------------------------------------------------------------------


def test_what_is_no_map_is_refused() -> None:
    settings, _, code = two_ops()
    place = layout_of(settings).place
    assert decode(settings, code.values) == TWO_OPS

    def refused(values: np.ndarray, said: str) -> None:
        with pytest.raises(SpaceError, match=said) as error:
            decode(settings, values)
        assert str(error.value).endswith("give a map of the same settings")
        assert "\n" not in str(error.value)

    refused(code.values[:-1], "expected .* channels × slices")
    refused(code.values[None], "expected .* channels × slices")
    refused(np.zeros_like(code.values), "a block without ops")

    def changed(*options: tuple[str, object], column: int) -> np.ndarray:
        values = code.values.copy()
        for option in options:
            values[place[option], column] = 1 - values[place[option], column]
        return values

    refused(changed(("width", 4), column=0), "'width' of the map has 0 answers in slice 0")
    refused(changed(("width", 2), column=0), "'width' of the map has 2 answers in slice 0")
    refused(changed(("width", 4), ("width", 3), column=0), "block0.op0.width is 3; expected one of")
    refused(changed(("read", 4), column=0), "contradicts itself")
    refused(np.repeat(code.values, 2, axis=1), "contradicts itself|expected")
