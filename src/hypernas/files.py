"""Whole files or nothing: every artefact is written beside its place and moved there.

A reader never sees half a file, and a process killed while it writes leaves the older file as it
was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hypernas.errors import RunError


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        # safetensors reports a full disk as its own error, with the system's words inside
        raise RunError(
            f"cannot write {path}: {error}; free some room or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Generator[Path, None, None]:
    """Yield a folder beside ``path`` that takes its place when the block ends well.

    Raises:
        RunError: the folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise RunError(f"cannot make {path}: {error}; give another --out") from error
    try:
        yield beside
        beside.chmod(0o755)
        beside.replace(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` (anything msgspec encodes) to ``path`` as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    write_text(path, text.decode() + "\n")


def read_json(path: Path, kind: Any = Any) -> Any:
    """Read ``path`` as JSON of the given type.

    Raises:
        RunError: the file is missing or does not hold such a value.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; is {path.parent} a run folder?") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RunError(f"{path} is damaged: {error}; remove it and run the step again") from error


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any] | None = None
) -> None:
    """Write tensors and JSON metadata to ``path`` (safetensors)."""
    text = {key: msgspec.json.encode(value).decode() for key, value in (metadata or {}).items()}
    plain: dict[str, torch.Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        # the format refuses tensors that lie in one place, such as a weight of two layers
        shared = whole.untyped_storage().data_ptr() in places
        plain[name] = whole.clone() if shared else whole
        places.add(whole.untyped_storage().data_ptr())
    with replacing(path) as temporary:
        # with no tensors, an empty header of metadata makes the format's own writer stumble
        save_file(plain, temporary, metadata=text or None)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _metadata(file)  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata alone of what :func:`write_tensors` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return _metadata(file)


def _metadata(file: safe_open) -> dict[str, Any]:
    return {key: msgspec.json.decode(value) for key, value in (file.metadata() or {}).items()}


@contextmanager
def _opened(path: Path) -> Generator[safe_open]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; is {path.parent} a run folder?") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}") from error
    except (SafetensorError, msgspec.DecodeError) as error:
        raise RunError(f"{path} is damaged: {error}; remove it and run the step again") from error
