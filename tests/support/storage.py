"""Shared by the tests of model files: files of every kind, and ways to damage them."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import struct
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from deltarule import Adam, MLPClassifier, MLPRegressor, save
from deltarule.datasets import penguins_path
from deltarule.storage.safetensors_file import pack, unpack
from deltarule.tables import Plan, Settings, fit, prepare, read_table
from support.estimators import unconverged

ATTRACTIVE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 10**9, 2**31, 2**62, 2**63, 2**64, -(2**63), 10**400),
    *(0.5, -1.5, 1e308, 5e-324, "", "a", "os.system", "builtins.eval", "=inf", "=-inf", "=nan"),
    *("==x", "=1", "\x00", "\ud7ff", "relu", "W1", "U8", "F32", "number", "category", "classifier"),
    *(
        [],
        [[]],
        [None],
        [0],
        {},
        {"=": "dict", "items": [[1, 2]]},
        {"=": "dict", "items": [[[], 1]]},
    ),
    *({"=": "Adam"}, {"=": "os.system"}, {"=": ["dict"]}, {"kind": "os"}, [1e308] * 3),
    *(["a", "a"], "x" * 1000, list(range(50))),
)
"""Values that often break readers: limits of types, and words with a meaning elsewhere."""


@cache
def model_files() -> dict[str, bytes]:
    """Return the bytes of a small model file of each kind."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = np.where(X[:, 0] > 0, "yes", "no")
    mixed = np.column_stack([X.astype(object), rng.choice(["u", "v"], 60)])
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2, 3]),
            ("categories", OneHotEncoder(), [4]),
        ]
    )
    table = prepare(read_table(penguins_path()), Plan("species"))
    quick = {"max_iter": 3, "random_state": 0}
    with unconverged():
        models = {
            "classifier": MLPClassifier((3,), early_stopping=True, **quick).fit(X, y),
            "regressor": MLPRegressor(
                "huber", (3, 2), solver=Adam(), batch_norm=True, dropout=0.1,
                standardize=True, **quick,
            ).fit(X, X[:, :2]),
            "table": fit(table, Settings(hidden=(4,), epochs=2)),
            "pipeline": make_pipeline(
                columns, SelectKBest(k=3), MLPClassifier((3,), **quick)
            ).fit(mixed, y),
        }  # fmt: skip
    with TemporaryDirectory() as folder:
        return {
            name: save(model, Path(folder) / name).read_bytes() for name, model in models.items()
        }


def parts_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a file's header and the bytes of its arrays."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def signed(header: dict[str, Any] | str, body: bytes) -> bytes:
    """Return a file with this header and, if the header has a place for it, the right digest."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    encoded = text.encode("utf-8", "surrogatepass")
    data = struct.pack("<Q", len(encoded)) + encoded + body
    place = data.find(b'"sha256":"') + 10
    if place < 10 or place + 64 > len(data):
        return data
    blank = data[:place] + b"0" * 64 + data[place + 64 :]
    return data[:place] + hashlib.sha256(blank).hexdigest().encode() + data[place + 64 :]


@dataclass(frozen=True)
class Archive:
    """The parts of a pipeline's file, down to the nodes and arrays in skops's archive."""

    metadata: dict[str, str]
    tensors: dict[str, Any]
    tree: dict[str, Any]
    arrays: dict[str, bytes]

    @classmethod
    def of(cls, data: bytes) -> Archive:
        metadata, tensors = unpack(data)
        with zipfile.ZipFile(io.BytesIO(tensors["skops"].tobytes())) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        return cls(metadata, tensors, json.loads(members.pop("schema.json")), members)

    def file(self, tree: Any, arrays: dict[str, bytes], compression: int = 0) -> bytes:
        """Return a file with a right digest, another tree and other arrays."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr("schema.json", json.dumps(tree))
            for name, content in arrays.items():
                archive.writestr(name, content)
        held = np.frombuffer(buffer.getvalue(), np.uint8)
        return pack(self.tensors | {"skops": held}, self.metadata)


class Mutator:
    """Random damage of model files with a right digest, so that every check is reached."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.files = [parts_of(data) for data in model_files().values()]
        self.pipeline = Archive.of(model_files()["pipeline"])

    def __call__(self) -> bytes:
        """Return the bytes of a file with one to three faults."""
        if self.draw.random() < 0.2:
            return self._pipeline()
        header, body = self.draw.choice(self.files)
        header = json.loads(json.dumps(header))
        body = bytearray(body)
        for _ in range(self.draw.choice((1, 1, 1, 2, 3))):
            kind = self.draw.random()
            if kind < 0.55:
                self._in_text(header.get("__metadata__", {}), "record")
            elif kind < 0.75:
                self._in_value(header)
            elif kind < 0.95 and body:
                self._in_bytes(header, body)
            else:
                return self._in_raw(signed(header, bytes(body)))
        return signed(header, bytes(body))

    def _pipeline(self) -> bytes:
        """Return a file with a valid skops archive of a damaged tree or damaged arrays."""
        tree = json.loads(json.dumps(self.pipeline.tree))
        arrays = dict(self.pipeline.arrays)
        for _ in range(self.draw.choice((1, 1, 2))):
            if self.draw.random() < 0.8:
                self._in_value(tree)
            else:
                name = self.draw.choice(sorted(arrays))
                data = bytearray(arrays[name])
                data[self.draw.randrange(len(data))] = self.draw.choice((0, 34, 49, 57, 127, 255))
                arrays[name] = bytes(data)
        return self.pipeline.file(tree, arrays)

    def _in_text(self, holder: Any, key: str) -> None:
        """Damage a value in a JSON text that is itself a value."""
        try:
            value = json.loads(holder[key])
        except (TypeError, ValueError, KeyError):
            return
        if isinstance(value, dict | list):  # otherwise it is damaged already
            self._in_value(value)
        holder[key] = json.dumps(value)

    def _in_value(self, value: Any) -> None:
        """Damage a random part of a JSON value, in place."""
        holders = [value]
        for holder in holders:  # the list grows during the loop: every container in the value
            children = holder.values() if isinstance(holder, dict) else holder
            holders += [child for child in children if isinstance(child, dict | list)]
        holder = self.draw.choice([h for h in holders if h] or [value])
        if isinstance(holder, list):
            if holder:
                self._in_list(holder)
            return
        key = self.draw.choice(sorted(holder) or [""])
        how = self.draw.random()
        if how < 0.15:
            holder.pop(key, None)
        elif how < 0.25:
            holder[str(self.draw.choice(ATTRACTIVE))[:20]] = self._attractive()
        elif how < 0.35:
            holder[self.draw.choice(sorted(holder) or [""])] = copy.deepcopy(holder.get(key))
        else:
            holder[key] = self._other(holder.get(key))

    def _in_list(self, items: list[Any]) -> None:
        place = self.draw.randrange(len(items))
        how = self.draw.random()
        if how < 0.2:
            del items[place]
        elif how < 0.4:
            items.insert(place, copy.deepcopy(self.draw.choice([*items, *ATTRACTIVE])))
        elif how < 0.5:
            items.reverse()
        else:
            items[place] = self._other(items[place])

    def _other(self, value: Any) -> Any:
        """Return a replacement of a value, similar or different."""
        if type(value) in (int, float) and self.draw.random() < 0.5:
            return self.draw.choice((value + 1, -value, value * 2, value * 10**6, str(value)[:300]))
        if isinstance(value, str) and self.draw.random() < 0.3:
            return self.draw.choice((value[:-1], value + "x", value.upper(), value[::-1], [value]))
        return self._attractive()

    def _attractive(self) -> Any:
        return copy.deepcopy(
            self.draw.choice(ATTRACTIVE)
        )  # a copy, so that no container contains itself

    def _in_bytes(self, header: dict[str, Any], body: bytearray) -> None:
        """Damage bytes of an array, in most cases of a pipeline's archive."""
        entry = header.get("skops")
        start, end = 0, len(body)
        if isinstance(entry, dict) and self.draw.random() < 0.9:
            offsets = entry.get("data_offsets")
            if isinstance(offsets, list) and len(offsets) == 2 and offsets[1] == end:
                start = offsets[0] if type(offsets[0]) is int and 0 <= offsets[0] < end else 0
        for _ in range(self.draw.choice((1, 1, 2, 8))):
            body[self.draw.randrange(start, end)] = self.draw.choice((0, 1, 34, 48, 57, 127, 255))

    def _in_raw(self, data: bytes) -> bytes:
        place = self.draw.randrange(len(data))
        how = self.draw.random()
        if how < 0.3:
            return data[:place]
        if how < 0.6:
            return data[:place] + self.draw.randbytes(self.draw.randrange(1, 9)) + data[place:]
        return struct.pack("<Q", self.draw.choice((0, 1, 2**31, 2**63, 2**64 - 1))) + data[8:]
