"""Checkpoints: their content, times and number; a resumed training ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import KFold

from deltarule import (
    LBFGS,
    SGD,
    Checkpoint,
    Dense,
    LineSearch,
    MLPClassifier,
    MLPRegressor,
    Network,
    load,
    train,
)
from deltarule.errors import CheckpointError, ModelFileError, SpecError
from deltarule.schedules import EpochSchedule, Exponential, Position
from deltarule.storage import read_model_record, write_model_record
from deltarule.tables import TableModel
from deltarule.training import Metrics
from deltarule.training.checkpoints.directory import open_directory
from deltarule.training.checkpoints.fingerprint import describe, fingerprint
from deltarule.training.checkpoints.serialization import read_snapshot
from support.checkpoints import CLASSES, NUMBERS, Cut, X, outcome, policy, run
from support.networks import proves
from support.paths import TESTS

SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (4,), "max_iter": 4, "batch_size": 30, "n_iter_no_change": 100,
    "random_state": 1,
}  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer|Training interrupted")
        yield


def fitted(checkpoint: Any = None, **changed: Any) -> MLPRegressor:
    with quiet():
        return MLPRegressor(**(SMALL | changed), checkpoint=checkpoint).fit(X, NUMBERS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut_off(case: dict[str, Any], checkpoint: Any, at: int, **changed: Any) -> None:
    with quiet(), Cut(at, lambda: os.kill(os.getpid(), signal.SIGINT)):
        run(case, checkpoint, **changed)


# --- the same bits --------------------------------------------------------------------------------

SOLVERS = ["sgd", "ema_momentum", "adam", "adamw", "nadam", "adagrad", "adadelta", "rmsprop"]
SCHEDULES = ["constant", "adaptive", "cosine", "one_cycle", "warm_up", "reduce_on_plateau"]


@proves(
    short=8,
    full=300,
    kind=st.sampled_from(["classifier", "regressor"]),
    arguments=st.fixed_dictionaries(
        {
            "solver": st.sampled_from(SOLVERS),
            "learning_rate": st.sampled_from(SCHEDULES),
            "dropout": st.sampled_from([0.0, 0.4]),
            "batch_norm": st.booleans(),
            "early_stopping": st.booleans(),
            "n_iter_no_change": st.sampled_from([1, 50]),
            "shuffle": st.booleans(),
            "standardize": st.booleans(),
            "dtype": st.sampled_from(["float64", "float32"]),
            "batch_size": st.sampled_from([16, 50, 120]),
            "tol": st.sampled_from([0.0, 0.1]),
            "record_health": st.booleans(),
        }
    ),
    place=st.floats(0, 1),
    mid_epoch=st.booleans(),
    again=st.booleans(),
)
def test_interrupted_anywhere_and_resumed_gives_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, kind: str, arguments: dict[str, Any],
    place: float, mid_epoch: bool, again: bool,
) -> None:  # fmt: skip
    case = {"kind": kind, "max_iter": 5, **arguments}
    folder = tmp_path_factory.mktemp("run")
    with Cut(0, None) as cut:
        expected = outcome(run(case))
    at = 1 + int(place * (cut.looks - 1))
    cut_off(case, policy(folder, mid_epoch), at)
    if again:
        cut_off(case, policy(folder, mid_epoch), 3, n_threads=1)
    assert outcome(run(case, policy(folder, mid_epoch), n_threads=2)) == expected


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = outcome(fitted(tmp_path / "run"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(
        "deltarule.engine.engine.Engine.train_steps", lambda *a: pytest.fail("a step was taken")
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):  # as the first time
        again = MLPRegressor(**SMALL, checkpoint=tmp_path / "run").fit(X, NUMBERS)
    assert outcome(again) == expected
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_checkpoints_do_not_change_a_run(tmp_path: Path) -> None:
    assert outcome(fitted(Checkpoint(tmp_path, every_seconds=0))) == outcome(fitted())


def test_max_iter_may_be_raised_but_not_below_what_is_done(tmp_path: Path) -> None:
    fitted(tmp_path / "run")
    with pytest.raises(CheckpointError, match="has done 4 epochs, and max_iter=3 asks for fewer"):
        fitted(tmp_path / "run", max_iter=3)
    assert outcome(fitted(tmp_path / "run", max_iter=7)) == outcome(fitted(max_iter=7))
    fitted(tmp_path / "ahead", learning_rate="cosine", solver="adam")
    with pytest.raises(CheckpointError, match="max_iter was 4 and is 7"):  # it plans the rates
        fitted(tmp_path / "ahead", learning_rate="cosine", solver="adam", max_iter=7)


def test_max_iter_stays_with_a_schedule_of_the_users_own(tmp_path: Path) -> None:
    class Ending(Exponential):
        def rate(self, initial: float, position: Position) -> float:
            return initial * (1 - position.epochs / position.planned_epochs)

    fitted(tmp_path / "run", learning_rate=Ending())
    with pytest.raises(CheckpointError, match="max_iter was 4 and is 7"):
        fitted(tmp_path / "run", learning_rate=Ending(), max_iter=7)
    for ours in ("exponential", "invscaling"):  # our own do not look ahead
        given = {"learning_rate": ours, "solver": "sgd"}
        fitted(tmp_path / ours, **given)
        longer = fitted(tmp_path / ours, **given, max_iter=7)
        assert outcome(longer) == outcome(fitted(**given, max_iter=7))


def test_without_a_random_state_the_first_draws_are_repeated(tmp_path: Path) -> None:
    case = {"kind": "regressor", "random_state": None, "early_stopping": True}
    np.random.mtrand._rand.seed(5)
    expected = outcome(run(case))
    np.random.mtrand._rand.seed(5)
    cut_off(case, tmp_path / "run", 20)
    np.random.mtrand._rand.seed(6)
    assert outcome(run(case, tmp_path / "run")) == expected


def test_a_random_state_goes_on_where_it_would_be(tmp_path: Path) -> None:
    def stream(seed: int) -> Any:
        return np.random.mtrand.RandomState(seed)

    case = {"kind": "classifier"}
    undisturbed, resumed = stream(3), stream(3)
    run(case, random_state=undisturbed)
    cut_off(case, tmp_path / "run", 20, random_state=stream(3))
    run(case, tmp_path / "run", random_state=resumed)
    assert undisturbed.randint(2**31) == resumed.randint(2**31)
    with pytest.raises(CheckpointError, match="random_state is another"):
        run(case, tmp_path / "run", random_state=stream(4))


# --- what is kept, and for how long ---------------------------------------------------------------


def test_names_say_epoch_and_step_and_the_last_and_the_best_stay(tmp_path: Path) -> None:
    fitted(Checkpoint(tmp_path / "a", every_epochs=1, keep_best=False), max_iter=12)
    assert names(tmp_path / "a") == [
        f"epoch-{e:06d}-step-{4 * e:09d}.safetensors" for e in (10, 11, 12)
    ]
    net = Network(6, [Dense(4, "tanh"), Dense(1)])
    losses = iter([0.5, 0.1, 0.7, 0.3, 0.9, 0.8])

    train(net, net.initialize(0), X, NUMBERS, epochs=6,
          validation=lambda state: Metrics(loss=next(losses)),
          checkpoint=Checkpoint(tmp_path / "b", every_epochs=1, keep_last=2))  # fmt: skip
    assert [int(name.split("-")[1]) for name in names(tmp_path / "b")] == [2, 5, 6]


def test_every_n_epochs(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path, every_epochs=5, keep_last=99)
    fitted(keep, max_iter=12)
    assert [int(name.split("-")[1]) for name in names(tmp_path)] == [0, 5, 10, 12]


def test_temporaries_of_the_dead_are_removed(tmp_path: Path) -> None:
    orphan = tmp_path / f".deltarule-{'0' * 16}-{'1' * 16}.tmp"
    orphan.touch()
    (tmp_path / "notes.txt").touch()
    fitted(tmp_path)
    assert not orphan.exists()
    assert (tmp_path / "notes.txt").exists()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    message = "another training writes its checkpoints"
    with open_directory(Checkpoint(tmp_path)), pytest.raises(CheckpointError, match=message):
        fitted(tmp_path)
    fitted(tmp_path)


def test_resume_false_wants_an_empty_folder(tmp_path: Path) -> None:
    fitted(Checkpoint(tmp_path, resume=False))
    with pytest.raises(CheckpointError, match=r"holds checkpoints of an earlier training.*epoch 4"):
        fitted(Checkpoint(tmp_path, resume=False))


def test_another_release_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("deltarule.training.checkpoints.writer.__version__", "0.0.1")
        fitted(tmp_path)
    with pytest.warns(UserWarning, match=r"written by deltarule 0\.0\.1"):
        fitted(tmp_path)


# --- what does not go together --------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lbfgs", "line_search", LBFGS(), LineSearch()])
def test_minimisers_refuse_checkpoints(tmp_path: Path, solver: Any) -> None:
    with pytest.raises(SpecError, match=r"checkpoint=.* does not go with solver=.*checkpoint=None"):
        MLPRegressor(solver=solver, checkpoint=tmp_path / "run").fit(X, NUMBERS)
    if not isinstance(solver, str):
        net = Network(6, [Dense(1)])
        with pytest.raises(
            SpecError, match=r"checkpoint=.* does not go with optimizer=.*checkpoint=None"
        ):
            train(net, net.initialize(0), X, NUMBERS, optimizer=solver, checkpoint=tmp_path / "run")
    assert names(tmp_path) == []


def test_partial_fit_and_warm_start_refuse_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="partial_fit writes no checkpoints"):
        MLPRegressor(checkpoint=tmp_path).partial_fit(X, NUMBERS)
    with pytest.raises(SpecError, match="warm_start=True"):
        MLPRegressor(checkpoint=tmp_path, warm_start=True).fit(X, NUMBERS)


@pytest.mark.parametrize("given", [3, b"run", ["run"]])
def test_what_is_no_folder_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="'checkpoint' parameter of MLPRegressor"):
        MLPRegressor(checkpoint=given).fit(X, NUMBERS)
    net = Network(6, [Dense(1)])
    with pytest.raises(SpecError, match="checkpoint must be a folder's path"):
        train(net, net.initialize(0), X, NUMBERS, checkpoint=given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folder": ""}, "folder must be"),
        ({"every_epochs": 0}, "every_epochs must be an integer of at least 1"),
        ({"every_seconds": -1.0}, "every_seconds must be in"),
        ({"keep_last": 0}, "keep_last must be an integer"),
        ({"resume": "auto"}, "resume must be True or False"),
    ],
)
def test_bad_policies(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Checkpoint(**({"folder": "run"} | given))


def test_the_argument_is_scikit_learns_kind(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path, every_epochs=2)
    model = MLPClassifier(checkpoint=keep)
    assert model.checkpoint is keep
    assert clone(model).checkpoint == keep
    model.set_params(checkpoint=str(tmp_path), **SMALL)
    with quiet():
        model.fit(X, CLASSES)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").checkpoint is None  # a folder of this machine


def test_a_schedule_whose_memory_cannot_be_kept_costs_a_warning(tmp_path: Path) -> None:
    class Odd(EpochSchedule):
        def observe(self, memory: Any, figure: float, current: float, *, maximize: bool) -> Any:
            return object(), current

    with pytest.warns(UserWarning, match="schedule_state=<object.*cannot be stored in a file"):
        fitted(Checkpoint(tmp_path, every_epochs=1), learning_rate=Odd())


# --- the file -------------------------------------------------------------------------------------


def test_a_checkpoint_is_no_model(tmp_path: Path) -> None:
    fitted(tmp_path)
    path = tmp_path / names(tmp_path)[-1]
    for reader in (load, TableModel.load):
        with pytest.raises(ModelFileError, match=r"checkpoint|holds no model of a table"):
            reader(path)


def forged(change: Any, contents: Any) -> Any:
    record, tensors = contents.record, dict(contents.tensors)
    change(record, tensors)
    return contents._replace(record=record, tensors=tensors)


@pytest.mark.parametrize(
    "change",
    [
        lambda r, t: r.update(epochs=-1),
        lambda r, t: r.update(more=1),
        lambda r, t: r["progress"].pop("position"),
        lambda r, t: r["progress"]["position"]["fields"].update(learning_rate="fast"),
        lambda r, t: r["progress"].update(state={"=": "os.system", "name": "x", "fields": {}}),
        lambda r, t: r["progress"]["state"]["fields"].update(seed=-1),
        lambda r, t: r["progress"]["state"]["fields"].pop("seed"),
        lambda r, t: r["progress"]["state"]["fields"].update(seed=2**63),
        lambda r, t: r["progress"]["state"]["fields"].update(step=2**63),
        lambda r, t: r["progress"]["state"]["fields"]["optimizer_state"]["fields"].update(t=2**63),
        lambda r, t: r["progress"]["state"]["fields"]["optimizer_state"]["fields"].update(t=0.5),
        lambda r, t: r["progress"]["state"]["fields"]["optimizer_state"]["fields"].update(m=0.0),
        lambda r, t: r["progress"]["state"]["fields"].update(
            optimizer_state=r["progress"]["history"]
        ),
        lambda r, t: t.update(
            {"state.optimizer_state.m": t["state.optimizer_state.m"].astype(np.float32)}
        ),
        lambda r, t: t.update(
            {"epoch.entered.optimizer_state.v": t["epoch.entered.optimizer_state.v"][:1]}
        ),
        lambda r, t: r["progress"]["position"]["fields"].update(steps=10**400),
        lambda r, t: r["progress"]["position"]["fields"].update(learning_rate=10**400),
        lambda r, t: r.update(best=["epoch", 10**400]),
        lambda r, t: t.update({"state.optimizer_state.m": t["state.optimizer_state.m"][:-1]}),
        lambda r, t: t.update({"state.theta": t["state.theta"].astype(np.float32)}),
        lambda r, t: t.pop("state.theta"),
        lambda r, t: t.update({"epoch.order.rows": t["epoch.order.rows"] - 10**6}),
        lambda r, t: t.update({"epoch.order.bounds": t["epoch.order.bounds"][::-1].copy()}),
        lambda r, t: r["progress"]["epoch"]["fields"].update(done=10**6),
        lambda r, t: r["progress"]["position"]["fields"].update(stopping_state=[None, "many"]),
        lambda r, t: r["progress"]["history"]["fields"].update(penalty=[]),
        lambda r, t: r.update(streams=[]),
        lambda r, t: r.update(beginnings={"=": "same", "name": "nowhere"}),
        lambda r, t: r.update(best=["epoch"]),
    ],
)
def test_records_that_are_not_ours_are_refused(tmp_path: Path, change: Any) -> None:
    cut_off({"kind": "regressor"}, policy(tmp_path, True), 12)
    contents = read_model_record(tmp_path / names(tmp_path)[-1])
    assert read_snapshot(contents, ()).place == (1, 11)
    with pytest.raises(CheckpointError):
        read_snapshot(forged(change, contents), ())


STATES = ("state", "best", "before", "safe", "epoch")


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("of", STATES)
@pytest.mark.parametrize("what", ["optimizer_state", "mean", "width"])
def test_a_state_of_another_network_or_optimiser_reaches_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, of: str, what: str
) -> None:
    """The kernels would write beyond arrays that are too few or too small."""
    monkeypatch.setattr("deltarule.reference.interpreter._PATIENCE", -1.0)  # a step a call, too
    case = {"kind": "classifier", "batch_norm": True, "engine": engine, "max_iter": 2}
    cut_off(case, policy(tmp_path, True), 12)  # in the second epoch, so that all five states differ
    newest = max(tmp_path.glob("*.safetensors"))
    contents = read_model_record(newest)

    def change(record: dict[str, Any], tensors: dict[str, Any]) -> None:
        progress = record["progress"]
        held = progress["epoch"]["fields"]["entered"] if of == "epoch" else progress[of]
        if held["="] == "same":  # a copy of its own
            shared = [one for one in (progress[name] for name in STATES[:4]) if one["="] != "same"]
            held = progress[of] = next(s for s in shared if s["name"] == held["name"])
        theta = tensors[held["fields"]["theta"]["name"]]
        tensors |= {"odd": np.zeros_like(theta), "short": np.zeros(1)}
        odd, short = ({"=": "array", "name": n, "dtype": "float64"} for n in ("odd", "short"))
        if what == "optimizer_state":
            square = {"=": "SquareState", "fields": {"s": odd}}
            held["fields"]["optimizer_state"] = square
            return
        buffers = dict(held["fields"]["buffers"]["items"])
        if what == "mean":
            buffers.pop("0.mean", None)
            buffers["0.variance"] = short
        else:
            buffers.update(dict.fromkeys(("0.mean", "0.variance"), short))
        held["fields"]["buffers"]["items"] = [[name, array] for name, array in buffers.items()]

    write_model_record(forged(change, contents), newest, overwrite=True)
    message = r"does not fit this training: state\.(optimizer_state|buffers)"
    with pytest.raises(CheckpointError, match=message) as caught:
        run(case, policy(tmp_path, True))
    assert str(newest) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({"epoch.order.rows": t["epoch.order.rows"] + 10**6}),
        lambda t: t.update({"epoch.order.rows": np.zeros_like(t["epoch.order.rows"])}),
        lambda t: t.update({"epoch.order.rows": t["epoch.order.rows"][:0]}),
        lambda t: t.update({"position.order": t["position.order"] + 1}),
        lambda t: t.update({"position.order": t["position.order"][:-1]}),
    ],
)
def test_an_order_of_other_rows_is_refused(tmp_path: Path, change: Any) -> None:
    """The engine would read beyond the data."""
    cut_off({"kind": "regressor"}, policy(tmp_path, True), 12)
    for path in tmp_path.glob("*.safetensors"):
        contents = read_model_record(path)
        if "epoch.order.rows" in contents.tensors:
            write_model_record(forged(lambda _, t: change(t), contents), path, overwrite=True)
    with pytest.raises(CheckpointError, match="order of rows"):
        run({"kind": "regressor"}, policy(tmp_path, True))


# --- what is compared -----------------------------------------------------------------------------


def test_fingerprints_and_descriptions_are_the_same_in_every_process() -> None:
    code = (
        "import numpy as np, sys; sys.path.insert(0, sys.argv[1]);"
        "from support.checkpoints import NOISE, X;"
        "from sklearn.model_selection import KFold;"
        "from deltarule.training.checkpoints.fingerprint import describe, fingerprint;"
        "f = lambda x, rows, epoch: x + ('a' in {'a', 'b', 'c', 'd'});"
        "g = lambda x: (lambda y: y in {('e', 'f'), ('g', 'h'), 'i'}) if x else ('j', 1.5);"
        "print(fingerprint(X), describe([f, g, NOISE, KFold(3), {'b', 'a'}, {1: 2.5}]))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(TESTS)], capture_output=True,
            text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1
    assert " at 0x" not in told.pop()


def test_descriptions_tell_functions_and_objects_apart() -> None:
    def scaled(factor: float) -> Any:
        return lambda x: factor * x

    different = [
        scaled(1.0), scaled(2.0), lambda x: x, lambda x: -x, np.mean, KFold(3), KFold(4), 1, 1.5,
        "1", [1], np.ones(3), np.zeros(3), SGD(0.1), SGD(0.2), None, {1: 2}, {1: 3},
    ]  # fmt: skip
    different += [lambda x: x in {1, 2}, lambda x: x in {1, 3}, lambda x: x in (1, 2)]
    different += [lambda x: (x, 1), lambda x: (x, 1.0), lambda x: (x, "1"), lambda x: (x, (1,))]
    described = [repr(describe(value)) for value in different]
    assert len(set(described)) == len(different)
    assert describe(scaled(1.0)) == describe(scaled(1.0))

    class Loop:
        def __init__(self, value: int) -> None:
            self.me, self.value = [self, self], value

    assert describe(Loop(1)) == describe(Loop(1)) != describe(Loop(2))


def test_a_function_whose_closure_is_not_complete_yet_is_described() -> None:
    def made() -> tuple[Any, Any]:
        def early(x: Any) -> Any:
            return late(x)

        described = describe(early)
        late = np.abs
        return described, describe(early)

    empty, whole = made()
    assert empty == made()[0] != whole == made()[1]
    assert " at 0x" not in repr(empty)


def test_a_fingerprint_sees_every_value_and_the_type() -> None:
    base = np.arange(6.0)
    touched = base.copy()
    touched[5] = np.nextafter(5.0, 6.0)
    texts = np.array(["a", None, 3], dtype=object)
    arrays = [base, touched, base.reshape(2, 3), base.astype(np.float32), base > 2, texts, None]
    assert len({fingerprint(array) for array in arrays}) == len(arrays)
    assert fingerprint(base) == fingerprint(base.copy())
    assert fingerprint(base[::-1]) == fingerprint(base[::-1].copy())


def test_train_refuses_another_start(tmp_path: Path) -> None:
    net = Network(6, [Dense(1)])
    train(net, net.initialize(0), X, NUMBERS, epochs=2, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="state has other values"):
        train(net, net.initialize(1), X, NUMBERS, epochs=2, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="validation X is given, and was not"):
        train(net, net.initialize(0), X, NUMBERS, epochs=2, checkpoint=tmp_path,
              validation=(X, NUMBERS))  # fmt: skip
