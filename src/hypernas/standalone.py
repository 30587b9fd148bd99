"""A network as one file of plain PyTorch, for people who want it without this library.

The module is read by torch.fx. Each container that was called becomes a class again, containers of
equal structure share one, and what differs between them becomes its constructor's arguments. Every
name of the ``state_dict`` stays as it is, so the weights load strictly. Three steps: read the
graph, write each container's ``forward``, fold equal containers into classes.
"""

from __future__ import annotations

import builtins
import copy
import functools
import inspect
import itertools
import json
import keyword
import math
import operator
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from hypernas.errors import GraphError

Normalisation = tuple[Sequence[float], Sequence[float]]
"""mean and standard deviation of each channel, on the scale where black is 0 and white is 1"""

WIDTH = 100
INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.lt: "<",
    operator.gt: ">",
    operator.le: "<=",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
    operator.and_: "&",
    operator.or_: "|",
}
Hole = tuple[str, ...]
"""where a literal stands in a class: member names, then the argument"""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
SUPER = "super().__init__"
"""in place of member names: all members, where the whole network is one chain"""
IN_PLACE = {"iadd", "isub", "imul", "itruediv", "setitem"}
VIEWS = {"view", "reshape", "flatten", "transpose", "permute", "squeeze", "unsqueeze"}
VIEWS |= {"chunk", "split", "getitem"}
PER_AXIS = {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size"}
RESERVED = {"self", "torch", "nn", "F", "math", "operator", *keyword.kwlist, *dir(builtins)}


def source_of(
    module: nn.Module,
    *,
    docstring: str,
    input_shape: Sequence[int],
    classes: Sequence[str],
    normalisation: Normalisation | None,
) -> str:
    """Return the Python source that rebuilds ``module`` as it computes in eval mode.

    The file needs torch alone, and safetensors for its ``load``. Only what reaches the output is in
    it, under the names that it has in ``module.state_dict()``. ``module`` is left as it is.

    Args:
        input_shape: of one example, without the batch: (channels, height, width) for images.
        normalisation: what ``preprocess`` takes from and divides images by, or None.

    Raises:
        GraphError: torch.fx cannot follow the module, or it holds a layer that cannot be printed.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        reading = _read(copy.deepcopy(module).cpu().eval(), input_shape)
        written = "\n\n\n".join(_Folder(reading).classes())
    return _FILE.format(
        docstring=_docstring(docstring),
        imports=_imports(written),
        classes=_assignment("CLASSES", _literal(list(classes))),
        input_shape=_literal(tuple(input_shape)),
        network=written,
        preprocess=_preprocess(normalisation),
    )


# --- reading -------------------------------------------------------------------------------------


class _Reader(fx.Tracer):
    """Trace through containers; remember what their arguments are called; keep buffers by name."""

    def __init__(self) -> None:
        super().__init__(param_shapes_constant=True)
        self.spoken: dict[str, dict[fx.Node, str]] = {}

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        given = inspect.signature(m.forward).bind(*args, **kwargs).arguments
        names = self.spoken[self.path_of_module(m)] = {}
        for name, value in given.items():
            several = isinstance(value, list | tuple)
            for index, one in enumerate(value if several else [value]):
                if type(one) is fx.Proxy:
                    names.setdefault(one.node, f"{name}{index}" if several else name)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if isinstance(attr_val, Tensor) and not isinstance(attr_val, nn.Parameter):
            for name, buffer in self.root.named_buffers():
                if buffer is attr_val:
                    if name not in parameter_proxy_cache:
                        proxy = self.create_proxy("get_attr", name, (), {})
                        parameter_proxy_cache[name] = proxy
                    return parameter_proxy_cache[name]
        return super().getattr(attr, attr_val, parameter_proxy_cache)


@dataclass
class _Scope:
    """The part of the graph that one container's ``forward`` made: nodes and inner scopes."""

    path: str
    items: list[fx.Node | _Scope] = field(default_factory=list)

    @functools.cached_property
    def nodes(self) -> list[fx.Node]:
        inner = (item.nodes if isinstance(item, _Scope) else [item] for item in self.items)
        return list(itertools.chain.from_iterable(inner))

    @functools.cached_property
    def inputs(self) -> list[fx.Node]:
        inside = set(self.nodes)
        used = (value for item in self.items for value in _inputs(item))
        return list(dict.fromkeys(value for value in used if value not in inside))

    @functools.cached_property
    def outputs(self) -> list[fx.Node]:
        inside = set(self.nodes)
        return [node for node in self.nodes if any(u not in inside for u in _users(node))]


@dataclass
class _Reading:
    """A traced module: its scopes, and for each node the shape it has for a batch of two."""

    root: nn.Module
    graph: fx.Graph
    spoken: dict[str, dict[fx.Node, str]]
    scopes: dict[str, _Scope]
    """by module path, the whole network at the empty one; inner scopes come after outer ones"""

    def module(self, path: str) -> nn.Module:
        return self.root.get_submodule(path)


def _read(module: nn.Module, input_shape: Sequence[int]) -> _Reading:
    _unshare_stateless(module)
    reader = _Reader()
    try:
        graph = reader.trace(module)
        _drop_dead(graph, module)
        ShapeProp(fx.GraphModule(module, graph)).propagate(torch.zeros(2, *input_shape))
    except Exception as error:  # whatever the user's own forward raises
        words = str(error).strip().split("\n")[0]
        raise GraphError(
            f"no plain source can be written of {type(module).__name__}: torch.fx cannot follow it "
            f"on inputs of shape {tuple(input_shape)}: {words}; keep forward free of branches on "
            "tensor values, or use the other files of the export"
        ) from error
    return _Reading(module, graph, reader.spoken, _scopes(graph))


def _unshare_stateless(module: nn.Module) -> None:
    """Give each place that holds the same layer without state, an activation say, its own copy."""
    seen: set[int] = set()
    for owner in list(module.modules()):
        for name, child in owner.named_children():
            if id(child) in seen and not child.state_dict():
                setattr(owner, name, copy.deepcopy(child))
        seen.update(id(child) for child in owner.children())


def _drop_dead(graph: fx.Graph, module: nn.Module) -> None:
    """Erase nodes that cannot reach the output; in-place ones count by the value they change."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        touched = [node, *(_aliases(node) if _in_place(node, module) else [])]
        if node.op in ("placeholder", "output") or any(live & n.users.keys() for n in touched):
            live.add(node)
        else:
            graph.erase_node(node)


def _in_place(node: fx.Node, module: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    name = _target_name(node)
    changes = name.endswith("_") and not name.endswith("__")
    return node.op != "get_attr" and bool(
        changes or name in IN_PLACE or node.kwargs.get("inplace") or "out" in node.kwargs
    )


def _aliases(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the values that share memory with the one that an in-place ``node`` changes."""
    while node.all_input_nodes:
        node = node.all_input_nodes[0]
        yield node
        if _target_name(node) not in VIEWS:
            return


def _target_name(node: fx.Node) -> str:
    """Return the last word of what a node calls: relu_ or add."""
    return str(getattr(node.target, "__name__", node.target))


def _is_inline(node: fx.Node) -> bool:
    """Say whether a node is written where it is used: attributes, sizes and sums of sizes."""
    if node.op == "get_attr" or node.target in (getattr, "size", "dim"):
        return True
    sized = node.target is operator.getitem or node.target in INFIX
    return sized and all(_is_inline(n) and n.op != "get_attr" for n in node.all_input_nodes)


def _inputs(item: fx.Node | _Scope) -> list[fx.Node]:
    """Return the values that must have a name before ``item`` is written."""
    if isinstance(item, _Scope):
        return item.inputs
    inner = ((_inputs(n) if _is_inline(n) else [n]) for n in item.all_input_nodes)
    return list(dict.fromkeys(itertools.chain.from_iterable(inner)))


def _users(node: fx.Node) -> Iterator[fx.Node]:
    for user in node.users:
        if _is_inline(user):
            yield from _users(user)
        else:
            yield user


def _within(path: str, outer: str) -> bool:
    return not outer or path.startswith(outer + ".")


def _callers(node: fx.Node) -> list[str]:
    """Return the paths of the containers whose ``forward`` made ``node``, the outermost first."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return stack[:-1] if node.op == "call_module" else stack


def _flat(graph: fx.Graph) -> set[str]:
    """Return the containers that get no ``forward``: called twice, or using what is not theirs."""
    flat: set[str] = set()
    for node in graph.nodes:
        stack = node.meta.get("nn_module_stack", {})
        flat.update(path for key, (path, _) in stack.items() if key != path)
        for site in _users(node) if node.op == "get_attr" else [node]:
            target = [str(node.target)] if node.op in ("get_attr", "call_module") else []
            pairs = itertools.combinations([*_callers(site), *target], 2)
            flat.update(outer for outer, inner in pairs if not _within(inner, outer))
    return flat


def _scopes(graph: fx.Graph) -> dict[str, _Scope]:
    flat, scopes = _flat(graph), {"": _Scope("")}
    for node in graph.nodes:
        if node.op in ("placeholder", "output") or _is_inline(node):
            continue
        scope = scopes[""]
        for path in _callers(node):
            if path not in flat:
                if path not in scopes:
                    scopes[path] = _Scope(path)
                    scope.items.append(scopes[path])
                scope = scopes[path]
        scope.items.append(node)
    return scopes


# --- one constructor call ------------------------------------------------------------------------


@dataclass
class _Part:
    """A member of a class as source: a call with literal arguments and with parts inside."""

    opening: str
    closing: str = ")"
    values: dict[str, str] = field(default_factory=dict)
    usual: dict[str, str] = field(default_factory=dict)
    """defaults by argument; an argument without one is written by position"""
    inside: dict[str, _Part] = field(default_factory=dict)
    item: str = "{text}"
    """how a part inside is written"""
    assign: str = "self.{name} = {text}"

    def skeleton(self) -> tuple[Any, ...]:
        """Return everything but the arguments' values: equal skeletons can share one class."""
        inner = tuple((name, part.skeleton()) for name, part in self.inside.items())
        return (self.opening, self.closing, tuple(self.usual.items()), self.assign, inner)

    def holes(self, path: Hole) -> Iterator[tuple[Hole, str]]:
        for name, text in self.values.items():
            yield (*path, name), text
        for name, part in self.inside.items():
            yield from part.holes((*path, name))

    def text(self, path: Hole, names: dict[Hole, str]) -> str:
        """Write the call, with the constructor's argument for each of the holes in ``names``."""
        words = []
        for name, literal in self.values.items():
            value = names.get((*path, name), literal)
            if value != self.usual.get(name):
                words.append(f"{name}={value}" if name in self.usual else value)
        for name, part in self.inside.items():
            inner = part.text((*path, name), names)
            words.append(self.item.format(name=_literal(name), text=inner))
        return f"{self.opening}{', '.join(words)}{self.closing}"


def _literal(value: Any, node: Callable[[fx.Node], str] | None = None) -> str:
    """Write a constant, or a structure of constants and (through ``node``) of graph nodes."""
    if isinstance(value, fx.Node) and node:
        return node(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or value is Ellipsis or isinstance(value, bool | int | float):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, tuple):
        items = [_literal(item, node) for item in value]
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, node) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_literal(k, node)}: {_literal(v, node)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, slice):
        return (
            f"slice({', '.join(_literal(v, node) for v in (value.start, value.stop, value.step))})"
        )
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return repr(value)
    raise GraphError(
        f"a value of type {type(value).__name__} cannot be written as source: {value!r}"
    )


def _layer(path: str, module: nn.Module) -> _Part:
    """Write the constructor call of a torch.nn layer, and prove it by calling it.

    Raises:
        GraphError: the layer is not of torch.nn itself, has hooks, or does not tell its arguments.
    """
    kind = type(module)
    given = {name: _argument(module, name) for name in _arguments(kind)}
    hooks = bool(module._forward_hooks or module._forward_pre_hooks)
    if hooks or getattr(nn, kind.__name__, None) is not kind or not _rebuilds(module, given):
        raise GraphError(
            f"layer {path!r} ({kind.__name__}) cannot be written as a call of torch.nn; "
            "write it out as a module of plain layers, or use the other files of the export"
        )
    usual = {
        n: _literal(p.default) for n, p in _arguments(kind).items() if p.default is not p.empty
    }
    values = {name: _literal(value) for name, value in given.items()}
    return _Part(f"nn.{kind.__name__}(", values=values, usual=usual)


@functools.cache
def _arguments(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Return what a layer's constructor takes and a person would write (no deprecated names)."""
    skipped = ("self", "device", "dtype", "args", "kwargs", "min_value", "max_value")
    given = inspect.signature(kind.__init__).parameters
    return {n: p for n, p in given.items() if n not in skipped and not n.startswith("_")}


def _argument(module: nn.Module, name: str) -> Any:
    """Return what the constructor was given for ``name``, or a sentinel that no layer accepts."""
    if isinstance(module, nn.MultiheadAttention) and name in ("bias", "add_bias_kv"):
        return (module.in_proj_bias if name == "bias" else module.bias_k) is not None
    value = getattr(module, name, inspect.Parameter.empty)
    if name == "bias":
        return value is not None or getattr(module, "weight", None) is None
    follows = {"stride": "kernel_size", "kdim": "embed_dim", "vdim": "embed_dim"}.get(name, "")
    default = getattr(_arguments(type(module))[name], "default", None)
    if follows and default is None and value == getattr(module, follows):
        return None  # what the layer itself takes then
    return _collapsed(name, value)


def _collapsed(name: str, value: Any) -> Any:
    """Return 3 for a kernel size of (3, 3)."""
    alike = isinstance(value, tuple) and len(set(value)) == 1
    single = name in PER_AXIS or (name == "normalized_shape" and len(value) == 1)
    return value[0] if alike and single else value


def _rebuilds(module: nn.Module, given: dict[str, Any]) -> bool:
    try:
        with torch.device("meta"):
            again = type(module)(**given)
    except Exception:  # each layer refuses wrong arguments in its own way
        return False
    return _facts(again) == _facts(module)


def _facts(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what two equal layers have in common: settings, and shapes of what they hold."""
    settings = {
        name: _collapsed(name, value)
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training"
    }
    return settings, {name: (t.shape, t.dtype) for name, t in module.state_dict().items()}


def _tensor(path: str, root: nn.Module) -> _Part:
    """Write a parameter, a buffer or a constant that a container's ``forward`` reads.

    Raises:
        GraphError: a value that is not in the ``state_dict`` is too long to be written.
    """
    value: Any = functools.reduce(getattr, path.split("."), root)
    dtype = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    if isinstance(value, nn.Parameter):
        frozen = "" if value.requires_grad else ", requires_grad=False"
        shape = {"shape": _literal(tuple(value.shape))}
        return _Part("nn.Parameter(torch.zeros(", f"{dtype}){frozen})", shape)
    register = 'self.register_buffer("{name}", {text}'
    if path in root.state_dict():
        shape = {"shape": _literal(tuple(value.shape))}
        return _Part("torch.zeros(", f"{dtype})", shape, assign=register + ")")
    if value.numel() > 64:
        raise GraphError(
            f"{path!r} is a tensor of {value.numel()} values that is neither a parameter nor a "
            "saved buffer, and too long for a source file; register it as a buffer"
        )
    values = {"values": _literal(value.tolist())}
    return _Part("torch.tensor(", f"{dtype})", values, assign=register + ", persistent=False)")


# --- forward -------------------------------------------------------------------------------------


@functools.cache
def _function_names() -> dict[Any, str]:
    """Return how the source calls each function of torch, the most usual name first."""
    names: dict[Any, str] = {}
    spaces = {"F": F, "torch": torch, "torch.linalg": torch.linalg, "torch.special": torch.special}
    for prefix, space in (spaces | {"math": math, "operator": operator}).items():
        for name, value in vars(space).items():
            if callable(value) and not name.startswith("_"):
                names.setdefault(value, f"{prefix}.{name}")
    return names


def _options(function: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments without those that only repeat a default."""
    name = _function_names().get(function, "").removeprefix("F.")
    with_defaults = getattr(F, f"_{name}", function)  # max_pool2d and its kind hide theirs there
    try:
        parameters = inspect.signature(with_defaults).parameters
    except ValueError:
        return given
    usual = {n: p.default for n, p in parameters.items()}
    return {n: v for n, v in given.items() if n == "training" or n not in usual or v != usual[n]}


@dataclass
class _Writer:
    """Writes the ``forward`` of one container."""

    reading: _Reading
    scope: _Scope
    access: Callable[[str, str], str]
    names: dict[fx.Node, str] = field(default_factory=dict)
    """the variable, or the short expression, that holds a value now"""
    last: dict[fx.Node, int] = field(default_factory=dict)
    """number of the item that uses a value last"""
    free: list[str] = field(default_factory=list)
    """variables whose value was used up by the line being written"""
    given: set[str] = field(default_factory=set)
    """names of the method's arguments"""
    shape: str = ""

    def forward(self) -> list[str]:
        """Return the lines of the method, at no indentation."""
        head = f"def forward({', '.join(['self', *self._parameters()])}):"
        self.given = set(self.names.values()) - {"x"}
        items, returned = self.scope.items, self._returned()
        self.last = {value: i for i, item in enumerate(items) for value in _inputs(item)}
        self.last |= dict.fromkeys(returned, len(items))
        body = [line for i in range(len(items)) for line in self._statement(i)]
        if not self.scope.path:
            result = self._output().args[0]
            several = isinstance(result, tuple) and len(result) > 1
            texts = [self._say(value) for value in (result if several else (result,))]
            body.append(f"return {', '.join(texts)}")
        elif returned:
            body.append(f"return {', '.join(self.names[node] for node in returned)}")
        return [head, *(f"    {line}" for line in body)]

    def _output(self) -> fx.Node:
        return self.reading.graph.output_node()

    def _returned(self) -> list[fx.Node]:
        return self.scope.outputs if self.scope.path else _inputs(self._output())

    def _parameters(self) -> list[str]:
        if self.scope.path:
            spoken = self.reading.spoken.get(self.scope.path, {})
            for node in arguments(self.reading, self.scope):
                self.names[node] = self._fresh(spoken.get(node, "x"))
            return list(self.names.values())
        placeholders = self.reading.graph.find_nodes(op="placeholder")
        self.names = {node: str(node.target) for node in placeholders}
        defaults = [f"={_literal(node.args[0])}" if node.args else "" for node in placeholders]
        return [name + default for name, default in zip(self.names.values(), defaults, strict=True)]

    def _statement(self, index: int) -> list[str]:
        """Return the line of one item, or none where the next line takes it in."""
        item = self.scope.items[index]
        text = self._call(item)
        results = item.outputs if isinstance(item, _Scope) else [item] * bool(item.users)
        dying = [value for value in _inputs(item) if self.last[value] == index]
        spent = [self.names.pop(value) for value in dying]
        self.free = [name for name in [*self.free, *spent] if name.isidentifier()]
        if len(results) == 1 and self._nests(index, results[0], text):
            self.names[results[0]] = text
            return []
        base = self._base(item)
        self.free = []
        for result in results:
            self.names[result] = self._fresh(base)
        if not results:
            return [text]
        names = ", ".join(self.names[result] for result in results)
        return [f"{names} = {text}{self._comment(results)}"]

    def _nests(self, index: int, result: fx.Node, text: str) -> bool:
        """Say whether a result is short, and used once, in the line that follows."""
        following = self.scope.items[index + 1 : index + 2]
        users = list(result.users)
        if not following:
            return bool(self.scope.path and self._returned() == [result]) or (
                not self.scope.path and self._output().args[0] is result
            )
        if self.last[result] != index + 1 or len(users) != 1:
            return False
        user = following[0]
        if isinstance(user, _Scope) or isinstance(self.scope.items[index], _Scope):
            return False
        if list(user.args).count(result) != 1:
            return False
        chained = user.op == "call_method" or user.target is operator.getitem
        return len(text) <= (60 if chained and user.args[0] is result else 30)

    def _comment(self, results: list[fx.Node]) -> str:
        """Return the shape as a comment where it changes; only the whole network has one shape."""
        meta = results[0].meta.get("tensor_meta")
        if self.scope.path or len(results) > 1 or not hasattr(meta, "shape"):
            return ""
        shape = f"  # {_literal(('n', *meta.shape[1:]))}".replace('"n"', "n")
        shape, self.shape = "" if shape == self.shape else shape, shape
        return shape

    def _base(self, item: fx.Node | _Scope) -> str:
        """Return what a result is called: as the value that it replaces, or what it comes from."""
        own = [name for name in self.free if name not in self.given]
        if own:
            return "x" if "x" in own or not self.names else own[0]
        made = isinstance(item, _Scope) or item.op == "call_module"
        if self.free and (len(self.given | {"x"}) <= 2 or not made):
            return "x"
        return re.sub(r"\W+", "_", self._word(item))

    def _word(self, item: fx.Node | _Scope) -> str:
        """Return what ``item`` does, in a word: the name of the module or of the function."""
        if isinstance(item, _Scope) or item.op == "call_module":
            path = item.path if isinstance(item, _Scope) else str(item.target)
            owner, _, name = path.rpartition(".")
            return owner.split(".")[-1].removesuffix("s") + name if name.isdigit() else name
        if item.target is operator.getitem:
            base = item.args[0]
            text = self._operand(base)
            return text if _is_name(text) or not isinstance(base, fx.Node) else self._word(base)
        if item.op == "get_attr":
            return str(item.target).split(".")[-1]
        word = _target_name(item)
        return "y" if item.target in INFIX or word in VIEWS else word

    def _fresh(self, base: str) -> str:
        taken = RESERVED | set(self.names.values())
        base = base if base.isidentifier() else f"y{base}"
        tries = itertools.chain([base], (f"{base}{n}" for n in itertools.count(2)))
        return next(name for name in tries if name not in taken)

    def _call(self, item: fx.Node | _Scope) -> str:
        if isinstance(item, _Scope):
            given = ", ".join(self._node(node) for node in arguments(self.reading, item))
            return f"{self.access(self.scope.path, item.path)}({given})"
        target, args, kwargs = item.target, list(item.args), dict(item.kwargs)
        if item.op == "call_method":
            head = f"{self._operand(args.pop(0))}.{target}"
        elif item.op == "call_module":
            head = self.access(self.scope.path, str(target))
        elif target is getattr:
            return f"{self._operand(args[0])}.{args[1]}"
        elif target is operator.getitem:
            return f"{self._operand(args[0])}[{self._index(args[1])}]"
        elif target in INFIX and len(args) == 2:
            return f"{self._operand(args[0])} {INFIX[target]} {self._operand(args[1])}"
        elif target in _function_names():
            head, kwargs = _function_names()[target], _options(target, kwargs)
        else:
            raise GraphError(
                f"{target} is not a function of torch, so it cannot be written as source"
            )
        words = [self._say(value) for value in args]
        words += [f"{name}={self._option(name, value)}" for name, value in kwargs.items()]
        return f"{head}({', '.join(words)})"

    def _option(self, name: str, value: Any) -> str:
        # read in eval mode, where `training=self.training` was False
        return "self.training" if name == "training" and value is False else self._say(value)

    def _say(self, value: Any) -> str:
        return _literal(value, self._node)

    def _node(self, node: fx.Node) -> str:
        if node.op == "get_attr":
            return self.access(self.scope.path, str(node.target))
        return self.names[node] if node in self.names else self._call(node)

    def _operand(self, value: Any) -> str:
        text = self._say(value)
        infix = isinstance(value, fx.Node) and value.target in INFIX and not _is_name(text)
        negative = isinstance(value, int | float) and value < 0
        return f"({text})" if infix or negative else text

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(self._index(item) for item in index) + "," * (len(index) == 1)
        if not isinstance(index, slice):
            return self._say(index)
        start, stop = ("" if v is None else self._say(v) for v in (index.start, index.stop))
        return f"{start}:{stop}" + ("" if index.step is None else f":{self._say(index.step)}")


def arguments(reading: _Reading, scope: _Scope) -> list[fx.Node]:
    """Return what a container is called with, in the order of its own ``forward``."""
    spoken = list(reading.spoken.get(scope.path, {}))
    return sorted(scope.inputs, key=lambda n: spoken.index(n) if n in spoken else len(spoken))


# --- classes -------------------------------------------------------------------------------------


class _Folder:
    """Writes the classes: containers of equal structure become one with constructor arguments."""

    def __init__(self, reading: _Reading) -> None:
        self.reading = reading
        self.live = set(reading.scopes)
        for node in reading.graph.nodes:
            if node.op in ("get_attr", "call_module"):
                self.live.update(itertools.accumulate(str(node.target).split("."), _join))
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
        return [name for name in names if _join(path, name) in self.live]

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
        scope, owner = self.reading.scopes[path], self.reading.module(path)
        if type(owner) is not nn.Sequential or len(scope.inputs) != 1:
            return False
        value, called = scope.inputs[0], []
        for item in scope.items:
            inner = isinstance(item, _Scope)
            given = tuple(item.inputs) if inner else item.args
            outputs = item.outputs if inner else [item]
            if given != (value,) or len(outputs) != 1 or not (inner or item.op == "call_module"):
                return False
            called.append(item.path if inner else str(item.target))
            value = outputs[0]
        return called == [_join(path, name) for name in self._children(path)]

    def _access(self, base: str, path: str) -> str:
        """Return how ``forward`` of the container at ``base`` reaches the member at ``path``."""
        text, here = "self", base
        for atom in path[len(base) :].strip(".").split("."):
            style = self._style(here)
            if style == "dict":
                text += f"[{_literal(atom)}]"
            elif style == "list" or (style == "chain" and atom.isdigit()):
                text += f"[{atom}]"
            else:
                text = f"{text}.{atom}" if _is_name(atom) else f"getattr({text}, {_literal(atom)})"
            here = _join(here, atom)
        return text

    def _part(self, path: str) -> _Part:
        owner, _, name = path.rpartition(".")
        if name not in self.reading.module(owner)._modules:
            return _tensor(path, self.reading.root)
        module = self.reading.module(path)
        if type(module).__module__.startswith("torch.nn") and type(module) not in CONTAINERS:
            return _layer(path, module)
        style = self._style(path)
        if style == "class":
            return self._instance(path)
        inside = {name: self._part(_join(path, name)) for name in self._children(path)}
        if style == "chain":
            return _sequential(inside)
        family = "Parameter" if type(module).__name__.startswith("Parameter") else "Module"
        if style == "list":
            return _Part(f"nn.{family}List([", "])", inside=inside)
        return _Part(f"nn.{family}Dict({{", "})", inside=inside, item="{name}: {text}")

    def _instance(self, path: str) -> _Part:
        """File the container at ``path`` under its structure; its call is completed later."""
        members = {name: self._part(_join(path, name)) for name in self._children(path)}
        scope = self.reading.scopes.get(path)
        if not path and self._is_chain(path):
            scope, members = None, {SUPER: _sequential(members, SUPER)}
        forward = _Writer(self.reading, scope, self._access).forward() if scope else []
        skeletons = tuple((name, part.skeleton()) for name, part in members.items())
        # the whole network is never one of the inner ones
        key = (path == "", type(self.reading.module(path)), tuple(forward), skeletons)
        group = self.groups.setdefault(key, [])
        call = _Part(f"class {list(self.groups).index(key)}")
        group.append(_Instance(path, members, forward, call))
        return call

    def _class(self, group: list[_Instance], taken: set[str]) -> str:
        """Return the source of the class of ``group``, and complete the calls of its instances."""
        first = group[0]
        name = type(self.reading.module(first.path)).__name__ if first.path else "Network"
        if first.path:
            tries = itertools.chain([name], (f"{name}{n}" for n in itertools.count(2)))
            name = next(n for n in tries if n not in taken)
        taken.add(name)
        tables = [instance.holes() for instance in group]
        names = _constructor_arguments(tables)
        for instance, table in zip(group, tables, strict=True):
            instance.call.opening = f"{name}("
            instance.call.values = {names[hole]: table[hole] for hole in reversed(names)}
            instance.call.values = dict(reversed(instance.call.values.items()))
            instance.call.usual = dict.fromkeys(instance.call.values, "")
        paths = textwrap.shorten(", ".join(i.path for i in group), 76, placeholder=" and so on")
        used = f"Used as {paths}" if first.path else "The whole network"
        return _class_source(name, used, first, names)


@dataclass
class _Instance:
    """One container that becomes a call of a written class."""

    path: str
    members: dict[str, _Part]
    forward: list[str]
    call: _Part

    def holes(self) -> dict[Hole, str]:
        return dict(h for name, part in self.members.items() for h in part.holes((name,)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_name(atom: str) -> bool:
    return atom.isidentifier() and not keyword.iskeyword(atom)


def _sequential(inside: dict[str, _Part], call: str = "nn.Sequential") -> _Part:
    """Write a chain; what did nothing in it is an nn.Identity, so that the numbers stay."""
    if not all(name.isdigit() for name in inside):
        item = "({name}, {text})"
        return _Part(f"{call}(OrderedDict([", "]))", inside=inside, item=item)
    names = [str(i) for i in range(int(max(inside, key=int)) + 1)]
    filled = {name: inside.get(name) or _Part("nn.Identity(") for name in names}
    return _Part(f"{call}(", inside=filled)


def _constructor_arguments(tables: list[dict[Hole, str]]) -> dict[Hole, str]:
    """Return the argument's name for each value that differs between containers of one class.

    Values that are equal in every one of them, such as the channels of a convolution and of its
    normalisation, share one argument.
    """
    vectors: dict[tuple[str, ...], list[Hole]] = {}
    for hole in tables[0]:
        vector = tuple(table[hole] for table in tables)
        if len(set(vector)) > 1:
            vectors.setdefault(vector, []).append(hole)
    names: dict[Hole, str] = {}
    for holes in vectors.values():
        words = [hole[-1] for hole in holes]
        word = "channels" if {"in_channels", "out_channels"} <= {*words} else words[0]
        full = re.sub(r"\W+", "_", "_".join(holes[0]))
        plain = word not in names.values() and word not in ("shape", "values", *RESERVED)
        names |= dict.fromkeys(holes, word if plain else full if _is_name(full) else f"_{full}")
    return names


def _class_source(name: str, used: str, first: _Instance, names: dict[Hole, str]) -> str:
    chain = first.members.get(SUPER)
    body = [] if chain else ["super().__init__()"]
    for member, part in first.members.items():
        assign, text = part.assign, part.text((member,), names)
        if part is chain:
            assign = "{text}"
        elif not _is_name(member) and "register" not in assign:
            verb = "register_parameter" if text.startswith("nn.Parameter(") else "add_module"
            assign = f'self.{verb}("{{name}}", {{text}})'
        body.append(assign.format(name=member, text=text))
    head = f"def __init__({', '.join(['self', *dict.fromkeys(names.values())])}):"
    base = "nn.Sequential" if chain else "nn.Module"
    lines = [f"class {name}({base}):", f'    """{used}."""']
    if first.members:
        lines += ["", *(f"    {line}" for line in [head, *(f"    {line}" for line in body)])]
    if first.forward:
        lines += ["", *(f"    {line}" for line in first.forward)]
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line))


# --- the file ------------------------------------------------------------------------------------

_FILE = '''"""{docstring}"""

{imports}

{classes}
INPUT_SHAPE = {input_shape}  # of one example, without the batch


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
    images = torch.zeros(1, *INPUT_SHAPE, dtype=torch.uint8)
    with torch.no_grad():
        outputs = network(preprocess(images))
    exits = outputs if isinstance(outputs, tuple) else (outputs,)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{{count:,}} parameters, output", *(tuple(output.shape) for output in exits))
'''


def _docstring(text: str) -> str:
    """Return ``text`` with lines that fit, safe inside triple quotes."""
    safe = text.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [textwrap.fill(line, WIDTH - 6) if line.strip() else "" for line in safe.splitlines()]
    return "\n".join(lines) + ("\n" if len(lines) > 1 or safe.endswith('"') else "")


def _imports(written: str) -> str:
    """Return the import lines that the classes need, in isort's order."""
    plain = ["import math", "import operator", "from collections import OrderedDict"]
    uses = [r"\bmath\.", r"\boperator\.", r"\bOrderedDict\("]
    standard = [line for line, use in zip(plain, uses, strict=True) if re.search(use, written)]
    torches = ["import torch", "from torch import nn"]
    if re.search(r"\bF\.", written):
        torches.append("from torch.nn import functional as F")
    return "\n".join([*standard, "from pathlib import Path", "", *torches])


def _assignment(name: str, text: str) -> str:
    return "\n".join(_wrap(f"{name} = {text}"))


def _preprocess(normalisation: Normalisation | None) -> str:
    head = "def preprocess(images: torch.Tensor) -> torch.Tensor:\n"
    words = '    """Turn uint8 images (n, C, H, W) into the floats that the network expects."""\n'
    if normalisation is None:
        return f"{head}{words}    return images.float() / 255"
    mean, std = (_literal([float(v) for v in values]) for values in normalisation)
    lines = [f"    mean = torch.tensor({mean}, device=images.device).view(-1, 1, 1)"]
    lines += [f"    std = torch.tensor({std}, device=images.device).view(-1, 1, 1)"]
    lines += ["    return (images.float() / 255 - mean) / std"]
    return head + words + "\n".join(wrapped for line in lines for wrapped in _wrap(line))


def _wrap(line: str) -> list[str]:
    """Break a line that is too long at its last pair of brackets, as ruff does.

    >>> _wrap("y = f(" + "a" * 60 + ", " + "b" * 60 + ")")[0]
    'y = f('
    """
    code = line.split("  # ")[0] if len(line) > WIDTH else line
    commas, opening, closing = _last_brackets(code)
    if len(code) <= WIDTH or closing - opening <= 1:
        return [code]
    margin = " " * (len(code) - len(code.lstrip()) + 4)
    body = code[opening + 1 : closing]
    called = opening > 0 and (code[opening - 1].isalnum() or code[opening - 1] in "_)")
    if len(margin) + len(body) <= WIDTH and not (commas and code[opening] != "("):
        inner = [margin + body]
    else:
        cuts = [opening, *commas, closing]
        items = [code[a + 1 : b].strip() for a, b in itertools.pairwise(cuts)]
        comma = "," * bool(commas or (called and code[opening] == "("))
        inner = [text for item in items for text in _wrap(margin + item + comma)]
    return [code[: opening + 1], *inner, margin[4:] + code[closing:]]


def _last_brackets(code: str) -> tuple[list[int], int, int]:
    """Return the commas between the last outermost brackets, and where these open and close."""
    opened: list[int] = []
    commas: list[int] = []
    found, skip = ([], 0, 0), re.compile(r'"(?:[^"\\]|\\.)*"')
    at = 0
    while at < len(code):
        if code[at] == '"' and (quoted := skip.match(code, at)):
            at = quoted.end()
            continue
        if code[at] in "([{":
            opened.append(at)
            commas = [] if len(opened) == 1 else commas
        elif code[at] in ")]}" and opened:
            start = opened.pop()
            found = found if opened else (commas, start, at)
        elif code[at] == "," and len(opened) == 1:
            commas.append(at)
        at += 1
    return found
