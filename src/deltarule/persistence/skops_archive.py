"""The archive that skops makes of a pipeline: normalised, and checked before skops reads it.

skops writes a zip archive with a JSON tree, ``schema.json``, and NumPy arrays. Every node of the
tree names a class and a loader that builds it. Only a dozen loaders are allowed here, each with
the classes that it may build. The archive must be uncompressed, and each array must have as many
bytes as its header says. So a file cannot cause an import, a construction or an allocation that
was not checked.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deltarule.errors import ModelFileError
from deltarule.persistence.allowlist import classes, functions, types
from deltarule.persistence.object_graph import MAX_DEPTH, SAFE_KINDS
from deltarule.storage import strict_json

__all__ = ["check", "normalize"]

SCHEMA = "schema.json"
OLDEST_PROTOCOL = 2
_EPOCH = (1980, 1, 1, 0, 0, 0)
_COMMON = {"__class__", "__module__", "__loader__", "__id__"}
_ROOT = {"protocol", "_skops_version"}
_MUTABLE = ("DictNode", "ListNode", "NdArrayNode", "ObjectNode", "RandomStateNode", "SetNode")
"""Nodes for which it matters whether two places hold the same object; it does not for values."""


def normalize(data: bytes) -> bytes:
    """Return the archive with numbers for addresses, fixed dates and sorted sets.

    Equal pipelines then have equal archives.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tree = json.loads(archive.read(SCHEMA))
        numbers: dict[int | str, int] = {}
        files: dict[str, str] = {}
        for node in _nodes(tree):
            shared = node["__loader__"] in _MUTABLE
            address = f"@{node['__id__']}" if shared else len(numbers)
            node["__id__"] = numbers.setdefault(address, len(numbers) + 1)
            if "file" in node:
                files.setdefault(node["file"], f"{node['__id__']}.npy")
                node["file"] = files[node["file"]]
            if node["__loader__"] == "SetNode":
                node["content"].sort(key=lambda item: str(item.get("content")))
        members = {
            SCHEMA: json.dumps(tree, separators=(",", ":")).encode()
        }  # the order of keys matters
        members |= {new: archive.read(old) for old, new in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # the same bytes on every operating system
            archive.writestr(entry, content)
    return buffer.getvalue()


def check(data: bytes) -> None:
    """Check an archive completely, before skops reads it.

    Raises
    ------
    ModelFileError
        If it differs from what `normalize` writes for allowed objects.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ModelFileError("its pipeline is compressed or encrypted")
        sizes = sum(entry.file_size for entry in entries)
        names = {entry.filename for entry in entries}
        if sizes > len(data) or len(names) < len(entries) or SCHEMA not in names:
            raise ModelFileError("its pipeline's archive has repeated or overlapping members")
        tree = strict_json.loads(archive.read(SCHEMA).decode(), max_depth=5 * MAX_DEPTH)
        arrays = _Tree().check(tree)
        if arrays != names - {SCHEMA}:
            raise ModelFileError("its pipeline's arrays are not the ones that its tree names")
        for name in arrays:
            _check_array(archive.read(name))


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a tree that skops wrote, parents first."""
    if isinstance(tree, dict):
        if "__loader__" in tree:
            yield tree
        for name, child in tree.items():
            if name not in _COMMON:
                yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


@dataclass
class _Tree:
    """The state of a walk through a tree: the nodes seen, the open nodes and the arrays."""

    kinds: dict[int, tuple[str, str]] = field(default_factory=dict)
    open: list[int] = field(default_factory=list)
    arrays: set[str] = field(default_factory=set)

    def check(self, tree: Any) -> set[str]:
        """Check a whole tree; return the names of its arrays."""
        protocol = tree.get("protocol") if isinstance(tree, dict) else None
        if type(protocol) is not int or protocol < OLDEST_PROTOCOL:
            raise ModelFileError("its pipeline was written by an unsupported version of skops")
        self.node({name: value for name, value in tree.items() if name not in _ROOT})
        return self.arrays

    def node(self, node: Any, *loaders: str) -> None:
        """Check one node and its children; only these `loaders` are allowed, if any are given."""
        if not isinstance(node, dict) or not set(node) >= _COMMON:
            raise ModelFileError("its pipeline has a malformed node")
        loader, number = node["__loader__"], node["__id__"]
        if type(number) is not int or number < 1 or not isinstance(loader, str):
            raise ModelFileError("its pipeline has a node without a number")
        if loader not in _LOADERS or (loaders and loader not in loaders):
            raise ModelFileError(
                f"its pipeline needs the loader {loader[:40]!r}, which is not allowed"
            )
        name = f"{node['__module__']}.{node['__class__']}"
        rule = _LOADERS[loader]
        if name not in rule.names():
            raise ModelFileError(f"its pipeline contains {name[:80]!r}, which is not allowed")
        if self.kinds.setdefault(number, (loader, name)) != (loader, name) or number in self.open:
            raise ModelFileError("its pipeline has a node that contains itself")
        if len(self.open) > MAX_DEPTH:
            raise ModelFileError("its pipeline is nested too deeply")
        self.open.append(number)
        rule.check(self, node, {key: value for key, value in node.items() if key not in _COMMON})
        self.open.pop()

    def each(self, nodes: Any, *loaders: str) -> None:
        """Check every node of a list."""
        if not isinstance(nodes, list):
            raise ModelFileError("its pipeline has a malformed list")
        for node in nodes:
            self.node(node, *loaders)


_Rest = dict[str, Any]


def _only(rest: _Rest, *keys: str) -> None:
    if set(rest) != set(keys):
        raise ModelFileError("its pipeline has a node with missing or unknown entries")


def _json(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content", "is_json")
    if not isinstance(rest["content"], str) or isinstance(json.loads(rest["content"]), list | dict):
        raise ModelFileError("its pipeline has a malformed value")


def _items(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content")
    walk.each(rest["content"])


def _dict(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content", "key_types")
    walk.node(rest["key_types"], "ListNode")
    walk.each(rest["key_types"]["content"], "TypeNode")
    content = rest["content"]
    if not isinstance(content, dict) or len(content) != len(rest["key_types"]["content"]):
        raise ModelFileError("its pipeline has a malformed dict")
    walk.each(list(content.values()))


def _slice(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content")
    parts = rest["content"]
    if not isinstance(parts, dict) or set(parts) != {"start", "stop", "step"}:
        raise ModelFileError("its pipeline has a malformed slice")
    if not all(part is None or type(part) in (int, str) for part in parts.values()):
        raise ModelFileError("its pipeline has a malformed slice")


def _array(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    if rest.get("type") == "numpy":
        _only(rest, "type", "file")
        if rest["file"] != f"{node['__id__']}.npy":
            raise ModelFileError("its pipeline has an array whose name is not its number")
        walk.arrays.add(rest["file"])
    else:
        _only(rest, "type", "content", "shape")
        walk.each(rest["content"])
        walk.node(rest["shape"], "TupleNode")


def _object(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content")
    walk.node(rest["content"], "DictNode")


def _dtype(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest, "content")
    walk.node(rest["content"], "NdArrayNode")


def _name(walk: _Tree, node: _Rest, rest: _Rest) -> None:
    _only(rest)


@dataclass(frozen=True)
class _Rule:
    """The names that a loader may build, and the check of its nodes."""

    names: Callable[[], Any]
    check: Callable[[_Tree, _Rest, _Rest], None]


def _named(*names: str) -> Callable[[], Any]:
    return lambda: names


def _numpy_names() -> set[str]:
    return {"numpy.ndarray"} | {name for name in types() if name.startswith("numpy.")}


_LOADERS: dict[str, _Rule] = {
    "JsonNode": _Rule(_named("builtins.str"), _json),
    "ListNode": _Rule(_named("builtins.list"), _items),
    "TupleNode": _Rule(_named("builtins.tuple"), _items),
    "SetNode": _Rule(_named("builtins.set"), _items),
    "DictNode": _Rule(_named("builtins.dict"), _dict),
    "SliceNode": _Rule(_named("builtins.slice"), _slice),
    "NdArrayNode": _Rule(_numpy_names, _array),
    "DTypeNode": _Rule(_named("numpy.dtype"), _dtype),
    "TypeNode": _Rule(types, _name),
    "FunctionNode": _Rule(functions, _name),
    "ObjectNode": _Rule(classes, _object),
    "RandomStateNode": _Rule(_named("numpy.random.mtrand.RandomState"), _object),
}


def _check_array(data: bytes) -> None:
    """Refuse an ``.npy`` member with objects, or with a header that does not fit its bytes."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ModelFileError("its pipeline has an array with an unsupported header")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    plain = dtype.kind in SAFE_KINDS and dtype.subdtype is None
    if not plain or len(shape) > 8 or min(shape, default=0) < 0:
        raise ModelFileError("its pipeline has an array of other values than numbers or strings")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ModelFileError("its pipeline has an array whose shape does not fit its bytes")
