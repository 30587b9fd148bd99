"""The standalone file around the written classes.

The module is read by torch.fx. Each container that was called becomes a class again, containers of
the same ``forward`` share one, and what differs between them becomes its constructor's arguments.
Every name of the ``state_dict`` stays as it is, so the weights load strictly. Three steps: read the
graph, write each container's ``forward``, fold alike containers into classes.
"""

from __future__ import annotations

import copy
import re
import textwrap
from collections.abc import Sequence

import torch
from torch import nn

from hypernas.results import AskedExit
from hypernas.standalone.classes import Folder
from hypernas.standalone.literals import literal
from hypernas.standalone.preprocessing import EXAMPLES, Inputs, Normalisation, preprocess
from hypernas.standalone.reading import read
from hypernas.standalone.wrapping import WIDTH, wrapped


def source_of(
    module: nn.Module,
    *,
    docstring: str,
    input_shape: Sequence[int],
    classes: Sequence[str],
    normalisation: Normalisation | None,
    inputs: Inputs = "images",
    exits: Sequence[AskedExit] = (),
) -> str:
    """Return the Python source that rebuilds ``module`` as it computes in eval mode.

    The file needs torch alone, and safetensors for its ``load``. Only what reaches the output is in
    it, under the names that it has in ``module.state_dict()``. ``module`` is left as it is.

    Args:
        input_shape: of one example, without the batch: (channels, height, width) for images.
        normalisation: what ``preprocess`` takes from and divides images by, or None.
        inputs: what ``preprocess`` takes; for words and rows it reads ``architecture.json``, where
            the vocabulary or the columns are.
        exits: those that ``predict`` asks; without them the network has no ``predict``.

    Raises:
        GraphError: torch.fx cannot follow the module, or it holds a layer that cannot be printed.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        kind = torch.int64 if inputs in ("words", "bytes", "numbers") else torch.float32
        reading = read(copy.deepcopy(module).cpu().eval(), input_shape, kind)
        written = "\n\n\n".join(Folder(reading, staged=bool(exits)).classes())
    function = preprocess(inputs, normalisation, len(input_shape) - 1)
    return _FILE.format(
        docstring=_docstring(docstring),
        imports=_imports(written + function),
        classes="\n".join(wrapped(f"CLASSES = {literal(list(classes))}")),
        exits=_exits(exits),
        input_shape=literal(tuple(input_shape)),
        network=written,
        preprocess=function,
        example=EXAMPLES[inputs],
    )


_FILE = '''"""{docstring}"""

{imports}

{classes}
INPUT_SHAPE = {input_shape}  # of one example, without the batch
{exits}

{network}


{preprocess}

def build() -> Network:
    """Return the network with weights as they are before training."""
    return Network()


def load(path: str = "model.safetensors") -> Network:
    """Return the trained network, ready to predict; ``path`` is relative to this file."""
    from safetensors.torch import load_file

    network = build()
    network.load_state_dict(load_file(Path(__file__).resolve().parent / path))
    return network.eval()


if __name__ == "__main__":
    network = load()
    with torch.no_grad():
        outputs = network(preprocess({example}))
    exits = outputs if isinstance(outputs, tuple) else (outputs,)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{{count:,}} parameters, output", *(tuple(output.shape) for output in exits))
'''


def _exits(exits: Sequence[AskedExit]) -> str:
    """Return the table that ``predict`` reads, with a line in front."""
    if not exits:
        return ""
    rows = [f"    ({e.number}, {e.macs}, {e.stop_macs})," for e in exits]
    head = "ASKED = (  # number, multiply-adds, and those of asking in turn, of exits worth asking"
    return "\n".join([head, *rows, ")", ""])


def _docstring(text: str) -> str:
    """Return ``text`` with lines that fit, safe inside triple quotes."""
    safe = text.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [textwrap.fill(line, WIDTH - 6) if line.strip() else "" for line in safe.splitlines()]
    return "\n".join(lines) + ("\n" if len(lines) > 1 or safe.endswith('"') else "")


def _imports(written: str) -> str:
    """Return the import lines that the classes need, in isort's order."""
    standard = {
        "import json": r"\bjson\.",
        "import math": r"\bmath\.",
        "import operator": r"\boperator\.",
        "import re": r"\bre\.",
        "from collections import OrderedDict": r"\bOrderedDict\(",
    }
    lines = [line for line, use in standard.items() if re.search(use, written)]
    lines += ["from pathlib import Path", "", "import torch", "from torch import nn"]
    if re.search(r"\bF\.", written):
        lines.append("from torch.nn import functional as F")
    return "\n".join(lines)
