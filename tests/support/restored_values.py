"""Shared by the tests of restored values: files with a right digest and hostile values, and uses.

As a program it is a worker: ``python -m support.restored_values KIND SEED COUNT`` loads and uses
COUNT mutated files and prints one JSON line for each that was not handled, and one at the end.
``… KIND SEED COUNT ONLY`` repeats file number ONLY alone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deltarule import (
    SGD,
    BatchNorm,
    Cosine,
    Dense,
    Dropout,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    Network,
    load,
    train,
)
from deltarule.errors import DeltaruleError
from deltarule.tables import TabularClassifier, read_table
from deltarule.training.checkpoints.config import Checkpoint
from support.storage import Mutator, model_files, parts_of, signed

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 7, 623, 624, 625, 10**6, -(10**9), 2**31, 2**32, 2**61, 2**62, 2**63, 2**128),
    *(0.0, -0.0, 0.5, -1.5, 1.0, 1e-300, 5e-324, 1e25, 1.7e308, -1.7e308, 10**400),
)
"""Numbers at and beyond the limits of what a field may hold."""

DEEP = 900


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


class ValueMutator(Mutator):
    """Changes of values, in a record or in arrays: their number, type, length, range, nesting."""

    def change(self, header: dict[str, Any], body: bytearray) -> None:
        """Change one value of a file's record, or one of its arrays."""
        if self.draw.random() < 0.65 or not body:
            record = json.loads(header["__metadata__"]["record"])
            self._in_place(record)
            header["__metadata__"]["record"] = json.dumps(record)
        else:
            self._in_array(header, body)

    def _in_place(self, tree: Any) -> None:
        """Change one leaf or one container of a JSON value, each with the same probability.

        None inside an earlier change's deep nesting: no JSON encoder writes twice that depth.
        """
        places: list[tuple[Any, Any]] = []
        holders = [(tree, 0)]
        for holder, depth in holders:  # the list grows
            items = holder.items() if isinstance(holder, dict) else enumerate(holder)
            for key, child in items:
                places.append((holder, key))
                if isinstance(child, dict | list) and depth < 40:
                    holders.append((child, depth + 1))
        holder, key = self.draw.choice(places)
        how = self.draw.random()
        value = holder[key]
        if how < 0.5 and type(value) in (int, float):
            holder[key] = self.draw.choice((*NUMBERS, value + 1, -value, value - 1, value * 1000))
        elif how < 0.58:
            holder[key] = {"=": "float", "value": self.draw.choice(("nan", "inf", "-inf"))}
        elif how < 0.61:
            holder[key] = nested(self.draw.choice((10, 60, 90, DEEP)))
        elif how < 0.64:
            odd = [[], {"=": "dict", "items": [[1, 2]]}, {"=": "tuple", "items": [[]]}, 1.5, True]
            holder[key] = {"=": "dict", "items": [[self.draw.choice(odd), 1]]}
        elif how < 0.74 and isinstance(value, list) and value:
            self._in_list(value)
        elif how < 0.80:
            holder[key] = self.draw.choice(NUMBERS)
        elif how < 0.88:
            other, name = self.draw.choice(places)  # a value from elsewhere in the file
            if not isinstance(other[name], dict | list):
                holder[key] = other[name]
        elif isinstance(holder, dict):
            self._in_value(holder)
        else:
            holder[key] = self._other(value)

    def _in_array(self, header: dict[str, Any], body: bytearray) -> None:
        """Change a number, the shape, the dtype or the name of one array."""
        names = [name for name in header if name != "__metadata__"]
        name = self.draw.choice(names)
        entry, how = header[name], self.draw.random()
        if not isinstance(entry, dict) or name == "skops":
            return
        start, end = entry["data_offsets"]
        size = {"F64": 8, "F32": 4, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}[entry["dtype"]]
        if how < 0.75 and end > start:
            code = np.dtype({"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4"}.get(
                entry["dtype"], "u1"))  # fmt: skip
            odd = (np.nan, np.inf, -np.inf, 0, -1, 1, 5e-324, 1e25, 1.7e308, 10**6, 2**40, -(10**9))
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one = np.array(self.draw.choice(odd)).astype(code).tobytes()
            count = (end - start) // size
            which = range(count) if self.draw.random() < 0.1 else [self.draw.randrange(count)]
            for i in which:
                body[start + i * size : start + (i + 1) * size] = one
        elif how < 0.9:
            shape = list(entry["shape"])
            odd = ([0, 2**61], [2**61, 0], [*shape, 1], shape[::-1], [end - start], [1, *shape])
            entry["shape"] = self.draw.choice((*odd, shape[:-1], [0], []))
        elif how < 0.95:
            swap = {"F64": "I64", "I64": "F64", "F32": "I32", "I32": "F32", "U8": "BOOL"}
            entry["dtype"] = swap.get(entry["dtype"], "U8")
        else:
            other = self.draw.choice(names)
            header[name], header[other] = header[other], entry

    def times(self) -> int:
        return self.draw.choice((1, 1, 1, 2))


# --- model files ---------------------------------------------------------------------------------

ROWS = np.random.default_rng(1).normal(size=(5, 4))
MIXED = np.column_stack([ROWS.astype(object), np.array(["u", "v", "u", "w", "v"], dtype=object)])


class Models:
    """Files of estimators and table models."""

    kinds = ("classifier", "regressor", "table")

    def __init__(self, seed: int, folder: Path) -> None:
        self.path = folder / "m"
        self.mutator = ValueMutator(seed)
        self.files = [parts_of(model_files()[kind]) for kind in self.kinds]
        self.table = folder / "t.csv"
        self.table.write_text(TABLE)

    def make(self) -> bytes:
        header, body = self.mutator.draw.choice(self.files)
        header, held = json.loads(json.dumps(header)), bytearray(body)
        for _ in range(self.mutator.times()):
            self.mutator.change(header, held)
        return signed(header, bytes(held))

    def use(self, data: bytes) -> bool:
        """Load and predict; return whether the file was accepted."""
        self.path.write_bytes(data)
        try:
            model = load(self.path)
        except DeltaruleError:
            return False
        of_table = isinstance(model, TabularClassifier)
        network = model.model_.estimator if of_table else model
        assert all(np.isfinite(array).all() for array in network.coefs_ + network.intercepts_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if of_table:
                    model.predict(read_table(self.table))
                    model.set_params(max_iter=1)
                    model._arguments()
                else:
                    model.predict(ROWS[:, : model.n_features_in_])
                    if hasattr(model, "predict_proba"):
                        model.predict_proba(ROWS)
            except DeltaruleError:
                pass
        return True


TABLE = """species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year
Adelie,Torgersen,39.1,18.7,181,3750,male,2007
Gentoo,Biscoe,,,,,,
Adelie,Dream,1e5,-3,181,3750,female,2009
"""


# --- checkpoints ---------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(24, 3))
Y = X @ [1.0, -2.0, 0.5]
COMMON: dict[str, Any] = {
    "hidden_layer_sizes": (3,), "batch_size": 8, "n_iter_no_change": 50, "engine": "reference",
}  # fmt: skip
TRAININGS: tuple[dict[str, Any], ...] = (
    {"kind": MLPRegressor, "solver": "adam", "dropout": 0.1, "record_health": True},
    {"kind": MLPClassifier, "solver": "nadam", "batch_norm": True, "early_stopping": True},
    {"kind": MLPRegressor, "solver": "sgd", "learning_rate": "reduce_on_plateau",
     "early_stopping": True},
    {"kind": MLPRegressor, "solver": "rprop", "batch_size": 24},
    {"kind": MLPRegressor, "solver": "adadelta", "learning_rate": "adaptive", "dtype": "float32"},
    {"kind": MLPRegressor, "solver": "rmsprop", "learning_rate": Cosine(1),
     "on_divergence": "recover"},
    {"kind": None},
)  # fmt: skip


def trained(case: dict[str, Any], folder: Path, epochs: int, compiled: bool) -> Any:
    """Train one of ``TRAININGS`` with checkpoints; return its last parameters."""
    checkpoint = Checkpoint(folder, every_epochs=1, keep_last=1)
    given = {name: value for name, value in case.items() if name != "kind"}
    if case["kind"] is None:
        layers = [Dense(3, "tanh", batch_norm=BatchNorm()), Dropout(0.1), Dense(1)]
        net = Network(3, layers)
        state = net.initialize(1)
        train(
            net, state, X, Y, optimizer=SGD(0.05, 0.9), batch_size=8, seed=2, epochs=epochs,
            stopping=EarlyStopping(), engine="compiled" if compiled else "reference",
            checkpoint=checkpoint, n_threads=1,
        )  # fmt: skip
        return state
    arguments = COMMON | given | {"max_iter": epochs, "random_state": 3, "checkpoint": checkpoint}
    if compiled:
        arguments |= {"engine": "compiled", "n_threads": 1}
    y = np.where(Y > 0, "a", "b") if case["kind"] is MLPClassifier else Y
    return case["kind"](**arguments).fit(X, y).state_


class Checkpoints:
    """Checkpoints of small trainings, resumed for an epoch."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.mutator, self.folder = ValueMutator(seed), folder
        self.files: list[tuple[int, bool, str, tuple[dict[str, Any], bytes]]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, case in enumerate(TRAININGS):
                for compiled in (False, True):
                    place = folder / f"{number}{compiled}"
                    trained(case, place, 2, compiled)
                    file = next(place.glob("*.safetensors"))
                    self.files.append((number, compiled, file.name, parts_of(file.read_bytes())))

    def make(self) -> tuple[int, bool, str, bytes]:
        number, compiled, name, (header, body) = self.mutator.draw.choice(self.files)
        header, held = json.loads(json.dumps(header)), bytearray(body)
        for _ in range(self.mutator.times()):
            self.mutator.change(header, held)
        return number, compiled, name, signed(header, bytes(held))

    def use(self, made: tuple[int, bool, str, bytes]) -> bool:
        number, compiled, name, data = made
        place = self.folder / "now"
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        (place / name).write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                state = trained(TRAININGS[number], place, 3, compiled)
            except DeltaruleError:
                return False
        assert np.isfinite(state.theta).all()
        assert all(np.isfinite(array).all() for array in state.buffers.values())
        return True


# --- a worker -------------------------------------------------------------------------------------


def kinds() -> dict[str, Callable[[int, Path], Any]]:
    from support.restored_pipelines import Pipelines

    return {"checkpoints": Checkpoints, "models": Models, "pipelines": Pipelines}


def serve(kind: str, seed: int, count: int, only: int | None) -> None:
    """Load and use mutated files; print what was not handled, and the totals."""
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        maker = kinds()[kind](seed, Path(folder))
        accepted, slowest, which = 0, 0.0, 0
        progress = os.open(os.environ.get("PROGRESS", os.devnull), os.O_WRONLY | os.O_CREAT)
        for number in range(count):
            maker.mutator.draw.seed(f"{seed}/{number}")  # any file can be repeated alone
            if only is not None and number != only:
                continue
            made = maker.make()
            os.pwrite(progress, b"%9d" % number, 0)  # which file a crash was in
            started = time.perf_counter()
            try:
                accepted += maker.use(made)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                line = {"seed": seed, "number": number, "error": f"{type(error).__name__}: {error}"}
                line["at"] = f"{where.filename[-40:]}:{where.lineno}"
                print(json.dumps(line), flush=True)
                if only is not None:
                    traceback.print_exc()
            slowest, which = max((slowest, which), (time.perf_counter() - started, number))
    totals = {"files": count, "accepted": accepted, "slowest": slowest, "slowest_number": which}
    print(json.dumps(totals), flush=True)


if __name__ == "__main__":
    kind, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    serve(kind, seed, count, int(sys.argv[4]) if len(sys.argv) > 4 else None)
