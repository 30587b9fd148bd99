"""Containers as classes: those with the same ``forward`` become one with constructor arguments."""

from __future__ import annotations

import functools
import itertools
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from hypernas.standalone.constructors import layer, tensor
from hypernas.standalone.forward import forward_of
from hypernas.standalone.literals import RESERVED, is_name, join, literal
from hypernas.standalone.parts import Hole, Part, collection, sequential
from hypernas.standalone.reading import Reading
from hypernas.standalone.scopes import Scope, module_path, results
from hypernas.standalone.stages import methods_of
from hypernas.standalone.wrapping import wrapped

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
SUPER = "super().__init__"
"""in place of member names: all members, where the whole network is one chain"""


@dataclass
class _Instance:
    """One container that becomes a call of a written class."""

    path: str
    members: dict[str, Part]
    forward: list[str]
    call: Part

    def key(self, kind: type[nn.Module]) -> Any:
        """Return what instances of one class have in common."""
        assigns = tuple((name, part.assign) for name, part in self.members.items())
        # the whole network is never one of the inner ones
        return (self.path == "", kind, tuple(self.forward), assigns)


class Folder:
    """Writes the classes of a reading; of a network of several exits perhaps in stages."""

    def __init__(self, reading: Reading, *, staged: bool = False) -> None:
        self.reading = reading
        self.staged = staged
        self.live = set(reading.scopes)
        for node in reading.graph.nodes:
            if node.op in ("get_attr", "call_module"):
                self.live.update(itertools.accumulate(str(node.target).split("."), join))
        self.groups: dict[Any, list[_Instance]] = {}

    def classes(self) -> list[str]:
        """Return the source of each class, inner ones first and the whole network last."""
        self._instance("")
        taken = {"Network"}
        return [self._class(group, taken) for group in self.groups.values()]

    def _children(self, path: str) -> list[str]:
        """Return the names of what is alive directly in the container at ``path``."""
        owner = self.reading.module(path)
        constants = [name for name in vars(owner) if name.startswith("_tensor_constant")]
        names = [*owner._parameters, *owner._buffers, *constants, *owner._modules]
        return [name for name in names if join(path, name) in self.live]

    def _style(self, path: str) -> Literal["list", "dict", "chain", "class"]:
        """Return how a container is written, which is also how its members are reached."""
        owner, names = self.reading.module(path), self._children(path)
        if path in self.reading.scopes:
            return "chain" if self._is_chain(path) else "class"
        if type(owner) in (nn.ModuleList, nn.Sequential, nn.ParameterList):
            return "list" if names == [str(i) for i in range(len(names))] else "dict"
        return "dict" if type(owner) in (nn.ModuleDict, nn.ParameterDict) else "class"

    def _is_chain(self, path: str) -> bool:
        """Say whether a container only passes one value through its members, in their order."""
        scope = self.reading.scopes[path]
        if type(self.reading.module(path)) is not nn.Sequential or len(scope.inputs) != 1:
            return False
        value = scope.inputs[0]
        for item in scope.items:
            given = tuple(item.inputs) if isinstance(item, Scope) else item.args
            made = results(item)
            if given != (value,) or len(made) != 1:
                return False
            value = made[0]
        called = [module_path(item) for item in scope.items]
        return called == [join(path, name) for name in self._children(path)]

    def _access(self, base: str, path: str) -> str:
        """Return how ``forward`` of the container at ``base`` reaches the member at ``path``."""
        text, here = "self", base
        for atom in path[len(base) :].strip(".").split("."):
            style = self._style(here)
            if style == "dict":
                text += f"[{literal(atom)}]"
            elif style == "list" or (style == "chain" and atom.isdigit()):
                text += f"[{atom}]"
            else:
                text = f"{text}.{atom}" if is_name(atom) else f"getattr({text}, {literal(atom)})"
            here = join(here, atom)
        return text

    def _part(self, path: str) -> Part:
        owner, _, name = path.rpartition(".")
        if name not in self.reading.module(owner)._modules:
            return tensor(path, self.reading.root)
        module = self.reading.module(path)
        kind = type(module)
        if kind.__module__.startswith("torch.nn") and kind not in CONTAINERS:
            return layer(path, module)
        style = self._style(path)
        if style == "class":
            return self._instance(path)
        inside = self._parts(path)
        if style == "chain":
            return sequential(inside)
        family = "Parameter" if kind.__name__.startswith("Parameter") else "Module"
        return collection(family + style.title(), inside)

    def _parts(self, path: str) -> dict[str, Part]:
        return {name: self._part(join(path, name)) for name in self._children(path)}

    def _instance(self, path: str) -> Part:
        """File the container at ``path`` with those alike; its call is completed later."""
        members = self._parts(path)
        scope = self.reading.scopes.get(path)
        if not path and self._is_chain(path):
            scope, members = None, {SUPER: sequential(members, SUPER)}
        access = functools.partial(self._access, path)
        write = methods_of if self.staged and not path else forward_of
        forward = write(scope, self.reading.graph, access) if scope else []
        instance = _Instance(path, members, forward, Part(""))
        key = instance.key(type(self.reading.module(path)))
        self.groups.setdefault(key, []).append(instance)
        return instance.call

    def _class(self, group: list[_Instance], taken: set[str]) -> str:
        """Return the source of the class of ``group``, and complete the calls of its instances."""
        first = group[0]
        name = type(self.reading.module(first.path)).__name__ if first.path else "Network"
        if first.path:
            tries = itertools.chain([name], (f"{name}{n}" for n in itertools.count(2)))
            name = next(n for n in tries if n not in taken)
        taken.add(name)
        parts, names = _arguments(group)
        for instance in group:
            holes = _holes(instance, parts)
            call = instance.call
            call.opening, call.item = f"{name}(", "{name}={text}"
            call.values = {argument: holes[hole] for hole, argument in names.items()}
            call.usual = dict.fromkeys(call.values, "")
            call.inside = {parts[member]: instance.members[member] for member in parts}
        paths = textwrap.shorten(", ".join(i.path for i in group), 76, placeholder=" and so on")
        used = f"Used as {paths}" if first.path else "The whole network"
        return _class_source(name, used, first, names, parts)


def _holes(instance: _Instance, parts: Iterable[str]) -> dict[Hole, str]:
    """Return the literals of the members that are not among ``parts``."""
    members = ((name, part) for name, part in instance.members.items() if name not in parts)
    return dict(hole for name, part in members for hole in part.holes((name,)))


def _arguments(group: list[_Instance]) -> tuple[dict[str, str], dict[Hole, str]]:
    """Return the constructor's arguments: for members given as a whole, and for single values.

    Values that are equal in every one of them, such as the channels of a convolution and of its
    normalisation, share one argument.
    """
    members = group[0].members
    unlike = [n for n in members if len({i.members[n].skeleton() for i in group}) > 1]
    parts: dict[str, str] = {}
    for member in unlike:
        parts[member] = _argument_name([(member,)], {*parts.values()})
    tables = [_holes(instance, parts) for instance in group]
    vectors: dict[tuple[str, ...], list[Hole]] = {}
    for hole in tables[0]:
        vector = tuple(table[hole] for table in tables)
        if len(set(vector)) > 1:
            vectors.setdefault(vector, []).append(hole)
    names: dict[Hole, str] = {}
    for holes in vectors.values():
        name = _argument_name(holes, {*parts.values(), *names.values()})
        names |= dict.fromkeys(holes, name)
    return parts, names


def _argument_name(holes: list[Hole], taken: set[str]) -> str:
    """Return what the value in ``holes`` is called: channels, or in full block_0_channels."""
    words = [hole[-1] for hole in holes]
    word = "channels" if {"in_channels", "out_channels"} <= {*words} else words[0]
    if is_name(word) and word not in {"shape", "values", *RESERVED, *taken}:
        return word
    full = re.sub(r"\W+", "_", "_".join(holes[0]))
    return full if is_name(full) and full not in {*RESERVED, *taken} else f"_{full}"


def _class_source(
    name: str, used: str, first: _Instance, names: dict[Hole, str], parts: dict[str, str]
) -> str:
    chain = first.members.get(SUPER)
    body = [] if chain else ["super().__init__()"]
    for member, part in first.members.items():
        text = parts.get(member) or part.text((member,), names)
        body.append(_assignment(member, part).format(name=member, text=text))
    arguments = dict.fromkeys([*names.values(), *parts.values()])
    head = f"def __init__({', '.join(['self', *arguments])}):"
    base = "nn.Sequential" if chain else "nn.Module"
    lines = [f"class {name}({base}):", f'    """{used}."""']
    if first.members:
        lines += ["", *(f"    {line}" for line in [head, *(f"    {line}" for line in body)])]
    if first.forward:
        lines += ["", *(f"    {line}".rstrip() for line in first.forward)]
    return "\n".join(short for line in lines for short in wrapped(line))


def _assignment(member: str, part: Part) -> str:
    """Return the statement that makes ``part`` a member, with {name} and {text} to fill in."""
    if member == SUPER:
        return "{text}"
    if is_name(member) or "register" in part.assign:
        return part.assign
    verb = "register_parameter" if part.opening.startswith("nn.Parameter(") else "add_module"
    return f'self.{verb}("{{name}}", {{text}})'
