"""The settings of a memory-bank space, and the sizes that follow from them.

Source: SMASH (arXiv 1708.05344) and its public code. All widths are counted in *units* of so many
channels; a unit is the quantum of every width, so that the same architecture can be built wider.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hypernas.errors import SpaceError

STRUCTURES = {"1": 0.05, "1+1": 0.10, "2": 0.15, "2+1": 0.25, "2+2": 0.45}
"""how an op's convolutions stand (paths side by side, each of so many in a row), with the paper's
weights"""
NONLINEARITIES = ("relu", "tanh", "sigmoid", "silu", "gelu")
ORDERS = ("pre", "post", "late")
"""of norm, nonlinearity and convolution: nonlinearity first, last, or first with the norm last"""
NORMS = ("around", "each")
"""batch norms around an op's 1×1 convolution only, or also one at each of its convolutions"""
GATES = ("none", "split", "product")
"""how paths are joined: summed; the sum's halves as tanh · sigmoid; the paths as tanh · sigmoid"""
WRITES = ("add", "mean", "multiply")
"""how an op writes into a bank that holds something"""
ATTENTION = ("none", "read", "write", "both")
"""whether learned attention weighs the banks that are read, or the banks that are written"""
LAYERS = ("conv", "separable", "max_pool", "avg_pool", "gabor")
KEEPS = (0.25, 0.5, 0.75)
"""shares of a block's widest memory that the next block may start with"""
SHRINKS = ("avg", "max", "conv")
"""how images shrink between two blocks"""
LEAST_BUDGET = 0.3
"""smallest share of a block's read budget that an architecture is drawn with"""
MOST_KERNEL = 7


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the space; what each one means stands at the space's function.

    Raises:
        SpaceError: two settings cannot go together; names the option and a value that works.
    """

    axes: int
    blocks: int
    unit: int
    cap: int
    depth: int
    width: int
    compression: int
    bottleneck: int
    most_bottleneck: int
    kernel: int
    square: bool
    dilation: int
    groups: int
    stem_kernel: int
    stem_stride: int
    structures: tuple[str, ...]
    nonlinearities: tuple[str, ...]
    orders: tuple[str, ...]
    norms: tuple[str, ...]
    gates: tuple[str, ...]
    writes: tuple[str, ...]
    attention: tuple[str, ...]
    layers: tuple[str, ...]
    macro: bool
    persistent: int
    repeats: int
    budget: float
    ease: float

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _require(self, name, getattr(self, name) >= 1, "1 or more", 1)
        odd = min(max((self.kernel - 1) // 2 * 2 + 1, 3), MOST_KERNEL)
        _require(
            self,
            "kernel",
            self.kernel == odd,
            f"an odd number from 3 to {MOST_KERNEL}, for dilations go to 4 - (kernel - 1) / 2",
            odd,
        )
        _require(self, "dilation", 1 <= self.dilation <= 3, "1 to 3", 3)
        _require(
            self,
            "groups",
            self.groups >= 1 and self.unit % self.groups == 0,
            f"a divisor of unit={self.unit}, so that groups divide every width",
            math.gcd(self.unit, max(self.groups, 1)),
        )
        odd = self.stem_kernel // 2 * 2 + 1
        _require(self, "stem_kernel", self.stem_kernel == odd, "an odd number", odd)
        _require(self, "ease", 0 <= self.ease <= 1, "0 to 1", 1)
        least = LEAST_BUDGET
        _require(self, "budget", least <= self.budget <= 1, f"{least} to 1", least)
        _require_lists(self)
        self._require_room()

    def _require_room(self) -> None:
        """Refuse blocks that are too small for what is asked of them."""
        starts = [self.least_inputs(block) for block in range(self.blocks)]
        _require(
            self,
            "persistent",
            0 <= self.persistent < min(starts),
            f"0 to {min(starts) - 1}, fewer than the {min(starts)} units with which a block starts",
            min(starts) - 1,
        )
        for block, units in enumerate(starts):
            if not self.bank_sizes(block, units):
                raise SpaceError(
                    f"options compression={self.compression}, budget={self.budget:g} and "
                    f"width={self.width}: block {block} starts with {units} units of {self.unit} "
                    "channels, which do not make one op's banks; give --set compression=1 budget=1"
                )

    @cached_property
    def kernels(self) -> tuple[int, ...]:
        """Sizes that a kernel may have on an axis."""
        return tuple(range(3, self.kernel + 1, 2))

    @cached_property
    def groupings(self) -> tuple[int, ...]:
        """Numbers of groups that a convolution may have."""
        return tuple(g for g in range(1, self.groups + 1) if self.unit % g == 0)

    def dilations(self, kernel: int) -> tuple[int, ...]:
        """Dilations that a kernel of this size may have: 1 to 4 - (kernel - 1) / 2."""
        return tuple(range(1, min(self.dilation, 4 - (kernel - 1) // 2) + 1))

    @cached_property
    def paths(self) -> int:
        """Most paths that an op has."""
        return max(structure.count("+") + 1 for structure in self.structures)

    @cached_property
    def longest(self) -> int:
        """Most convolutions in a path."""
        return max(max(lengths(structure)) for structure in self.structures)

    @cached_property
    def slots(self) -> int:
        """Places for a convolution in an op: path p's convolution j has number p · longest + j."""
        return self.paths * self.longest

    # -- sizes of blocks, in units ----------------------------------------------------------------

    def inputs(self, block: int, keeps: Sequence[float] = ()) -> int:
        """Units with which a block starts; ``keeps`` are the shares chosen after earlier blocks."""
        if block == 0:
            return 2 * self.width
        keep = keeps[block - 1] if keeps else 0.5
        return max(int(self.most(block - 1, keeps) * keep / 2) * 2, 2)

    def most(self, block: int, keeps: Sequence[float] = ()) -> int:
        """Most units that a block's memory has."""
        grown = self.inputs(block, keeps) + 4 * self.width
        return max(grown, 8 * self.width) if 0 < block == self.blocks - 1 else grown

    def least_inputs(self, block: int) -> int:
        """Fewest units with which a block may start."""
        return self.inputs(block, (KEEPS[0],) * block if self.macro else ())

    @cached_property
    def memory(self) -> int:
        """Most units that the memory of any block has."""
        keeps = (KEEPS[-1],) * self.blocks if self.macro else ()
        return max(self.most(block, keeps) for block in range(self.blocks))

    def slices(self, block: int, inputs: int) -> float:
        """Read budget of a block, in slices of ``compression`` units."""
        return (inputs + self.depth * 2**block * 2 * self.width) / self.compression

    def bank_sizes(self, block: int, inputs: int) -> list[int]:
        """Bank sizes, in units, of which a block's input holds enough for one op to read."""
        budget = int(self.budget * self.slices(block, inputs)) * self.compression
        least = {size: self.reads_step(size) for size in range(1, self.cap + 1)}
        return [s for s, reads in least.items() if inputs // s >= reads and reads * s <= budget]

    def reads_step(self, bank: int) -> int:
        """Reads come in multiples of this, so that an op reads whole slices."""
        return self.compression if bank % self.compression else 1

    def middle(self, read: int, width: int) -> int:
        """Units between an op's 1×1 convolution and its others (SMASH's bottleneck)."""
        ratio = min(max(read // width, 1), self.bottleneck)
        return min(ratio * width, read, self.most_bottleneck * self.cap)

    @property
    def eased_budget(self) -> float:
        """Largest share of the read budget that is drawn at this ease: half of it at 0."""
        return max(LEAST_BUDGET, self.budget * (0.5 + 0.5 * self.ease))

    @property
    def eased_kernel(self) -> int:
        """Largest kernel that is drawn at this ease: 3 at 0."""
        return 3 + 2 * int((self.kernel - 3) // 2 * self.ease)


_COUNTS = ("blocks", "unit", "cap", "depth", "width", "compression", "bottleneck")
_COUNTS += ("most_bottleneck", "repeats", "stem_kernel", "stem_stride")
FIELDS = ("structures", "nonlinearities", "orders", "norms", "gates", "writes", "attention")
"""the lists of which an op has one each"""
_LISTS = {
    "nonlinearities": NONLINEARITIES,
    "orders": ORDERS,
    "norms": NORMS,
    "gates": GATES,
    "writes": WRITES,
    "attention": ATTENTION,
    "layers": LAYERS,
    "structures": tuple(STRUCTURES),
}


def lengths(structure: str) -> list[int]:
    """Return how many convolutions each path has.

    >>> lengths("2+1")
    [2, 1]
    """
    return [int(length) for length in structure.split("+")]


def _require(settings: Settings, name: str, holds: bool, expected: str, works: float) -> None:
    if not holds:
        value = getattr(settings, name)
        raise SpaceError(f"option {name}={value}: expected {expected}; give --set {name}={works:g}")


def _require_lists(settings: Settings) -> None:
    for name, known in _LISTS.items():
        values = getattr(settings, name)
        if name == "structures":
            strange = [v for v in values if not re.fullmatch(r"[1-4](\+[1-4]){0,3}", v)]
        else:
            strange = [value for value in values if value not in known]
        if strange or not values or len(set(values)) < len(values):
            said = f"has {strange[0]!r}" if strange else f"is {list(values)}"
            more = ", each path of 1 to 4 convolutions, up to 4 paths" * (name == "structures")
            raise SpaceError(
                f"option {name} {said}: expected one or more, each once, such as "
                f"{', '.join(known)}{more}; give --set {name}={','.join(known[:2])}"
            )
