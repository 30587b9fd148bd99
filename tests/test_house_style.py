"""The size budget of the code, and that the package says what it is."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
MOST_LINES, MOST_FUNCTION_LINES = 400, 60


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_size_budget(capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: path.read_text() for path in SOURCE.rglob("*.py")}
    lines = {path: text.count("\n") for path, text in files.items()}
    sizes = [length(f) for text in files.values() for f in functions(ast.parse(text))]
    with capsys.disabled():
        print(
            f"\n{len(files)} files, median {statistics.median(lines.values()):.0f} lines, longest "
            f"{max(lines.values())}; {len(sizes)} functions, median {statistics.median(sizes):.0f} "
            f"lines, longest {max(sizes)}"
        )
    assert {path.name: n for path, n in lines.items() if n > MOST_LINES} == {}
    assert max(sizes) <= MOST_FUNCTION_LINES
    assert statistics.median(sizes) <= 10


def test_public_functions_are_documented_and_typed() -> None:
    missing = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        classes = [c for c in tree.body if isinstance(c, ast.ClassDef)]
        # what overrides a method of a base class is documented there
        methods = [n for c in classes if not c.bases for n in c.body]
        for function in [n for n in [*tree.body, *methods] if isinstance(n, ast.FunctionDef)]:
            if function.name.startswith("_"):
                continue
            if ast.get_docstring(function) is None:
                missing.append(f"{path.name}:{function.name} has no docstring")
            if function.returns is None:
                missing.append(f"{path.name}:{function.name} has no return type")
    assert missing == []


def test_pickles_are_read_in_one_place_only() -> None:
    """A pickle can run anything when it is loaded; see ``data/guarded_pickle.py``."""
    loaders = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {(path.name, name) for name in names if name.split(".")[0] in loaders}
            found |= {(path.name, name) for name in names if name == "pickletools"}
        text = path.read_text()
        words = ("allow_pickle=True", "torch.load(", "weights_only=False", "read_pickle(path: ")
        found |= {(path.name, word) for word in words if word in text}
    assert found == {
        ("guarded_pickle.py", "pickletools"),
        ("guarded_pickle.py", "read_pickle(path: "),
    }


def test_import_is_quick_and_quiet() -> None:
    code = "import sys, hypernas; assert 'torch' not in sys.modules; print(hypernas.__all__[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Chooser"
    assert done.stderr == ""


def test_every_public_name_loads() -> None:
    import hypernas

    for name in hypernas.__all__:
        assert getattr(hypernas, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hypernas.nothing  # noqa: B018
