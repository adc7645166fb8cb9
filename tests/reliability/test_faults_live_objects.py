"""Live objects (kind E): what users' functions are given, and copies of what is being trained"""

import copy
import io
import pickle
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.model_selection import KFold

import deltarule
from deltarule import (
    Dense,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    Network,
    State,
    save,
    train,
)
from deltarule.augmentation import Compose
from deltarule.schedules import Constant
from deltarule.storage import remove_orphans, write_atomically
from deltarule.training import Metrics
from support.faults import report

RNG = np.random.default_rng(8)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
NET = Network(4, [Dense(5, "tanh"), Dense(1)])


def trained(**given: Any) -> np.ndarray:
    state = NET.initialize(0)
    train(NET, state, X, Y, epochs=3, batch_size=16, **given)
    return state.theta


# --- users' functions -----------------------------------------------------------------------------


def scales_in_place(x: Any, rows: Any, epoch: int) -> Any:
    x *= 1.5
    rows[...] = 0
    return x


def scales(x: Any, rows: Any, epoch: int) -> Any:
    return x * 1.5


@pytest.mark.parametrize("standardize", [False, True])
def test_augment_that_works_in_place_changes_nothing_of_the_users(standardize: bool) -> None:
    given, y = X.copy(), Y.copy()

    def fitted(augment: Any) -> Any:
        est = MLPRegressor(
            hidden_layer_sizes=(5,), max_iter=4, random_state=0, augment=augment,
            standardize=standardize, batch_size=60, early_stopping=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return est.fit(given, y).predict(X)

    np.testing.assert_array_equal(fitted(scales_in_place), fitted(scales))
    np.testing.assert_array_equal(given, X)
    state, other = NET.initialize(0), NET.initialize(0)
    train(NET, state, given, y, epochs=3, augment=scales_in_place)
    train(NET, other, given, y, epochs=3, augment=scales)
    np.testing.assert_array_equal(state.theta, other.theta)
    np.testing.assert_array_equal(given, X)
    report("E", function="augment", kept=2)


def test_a_function_within_compose_gets_a_copy() -> None:
    given = X.copy()

    def shifts(rng: Any, x: Any) -> Any:
        x += 1.0
        return x

    moved = Compose([shifts])(given)
    np.testing.assert_allclose(moved, X + 1.0)
    np.testing.assert_array_equal(given, X)


def test_hooks_of_train_cannot_change_the_state_or_the_order() -> None:
    """θ, statistics and the order of rows are read-only: an attempt raises, and is not ignored."""

    def zeroes(state: State) -> Any:
        state.theta[...] = 0.0

    class Shuffles(Constant):
        def rates(self, base: float, position: Any, n_steps: int) -> Any:
            position.order[...] = 0
            return super().rates(base, position, n_steps)

    for given in ({"on_epoch_begin": zeroes}, {"validation": zeroes}, {"schedule": Shuffles()}):
        with pytest.raises(ValueError, match="read-only"):
            trained(**given)  # type: ignore[arg-type]
        report("E", function=next(iter(given)), kept=1)


def test_hooks_of_train_may_keep_and_change_what_is_theirs() -> None:
    rates = np.empty(4)

    class Reuses(Constant):
        def rates(self, base: float, position: Any, n_steps: int) -> Any:
            rates[...] = base
            return rates

    def spoils(history: Any) -> bool:
        rates[...] = np.nan
        return False

    np.testing.assert_array_equal(trained(schedule=Reuses(), on_epoch=spoils), trained())
    seen: list[float] = []
    measured = trained(
        validation=lambda state: seen.append(1.0) or Metrics(float(NET.loss_of(state, X, Y)), 0.0),
        stopping=EarlyStopping(patience=9),
        on_epoch_begin=lambda state: seen.append(float(NET.predict(state, X)[0, 0])),
    )
    assert np.isfinite(measured).all()
    assert len(seen) == 6


class Callback:
    """A callback that changes the rows which it is shown."""

    def setup(self, estimator: Any, context: Any) -> None: ...
    def teardown(self, estimator: Any, context: Any) -> None: ...
    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any = None) -> bool:
        (X if isinstance(X, np.ndarray) else X.data)[...] = 0.0
        return False


class Splitter(KFold):
    """A splitter that changes the rows which it is shown."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        y[...] = 0
        return super().split(X, y, groups)


def spoiling_scorer(estimator: Any, X: Any, y: Any) -> float:
    (X if isinstance(X, np.ndarray) else X.data)[...] = 0.0
    return 0.0


@pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("which", ["callback", "splitter", "monitor"])
def test_functions_of_the_estimators_cannot_change_rows(which: str, form: Any) -> None:
    given, y, own = form(X.copy()), Y.copy(), form(X.copy())
    est = MLPClassifier((3,), max_iter=2, early_stopping=which != "callback", random_state=0)
    arguments: dict[str, Any] = {}
    if which == "callback":
        est.set_callbacks(Callback())
    elif which == "splitter":
        est.set_params(validation_fraction=Splitter(3))
    else:
        est.set_params(monitor=spoiling_scorer)
        arguments = {"X_val": own, "y_val": Y}
    with pytest.raises(ValueError, match="read-only"):
        est.fit(given, y, **arguments)
    for array in (given, own):
        dense = array if form is np.asarray else array.toarray()
        np.testing.assert_array_equal(dense, X)
    np.testing.assert_array_equal(y, Y)
    report("E", function=which, kept=1)


def test_a_monitor_gets_a_table_of_its_own() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))

    def spoils(estimator: Any, rows: Any, y: Any) -> float:
        assert rows["a"].abs().sum() > 0  # as it was given, in every epoch
        rows["a"] = 0.0
        return 0.0

    est = MLPClassifier((3,), max_iter=3, early_stopping=True, monitor=spoils, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(table, Y, X_val=table, y_val=Y)
    np.testing.assert_array_equal(table.to_numpy(), X)


def test_a_stream_may_read_into_the_same_arrays() -> None:
    """Blocks and batches end at different rows, so that a rest of every block is kept."""
    from deltarule.program import Block
    from deltarule.training.data import StreamedBlock

    y = Y[:, None].astype(float)

    def blocks(fresh: bool) -> Callable[[int], Any]:
        def of_epoch(epoch: int) -> Any:
            x_part, y_part = np.empty((10, 4)), np.empty((10, 1))
            for start in range(0, 60, 10):
                if fresh:
                    x_part, y_part = np.empty((10, 4)), np.empty((10, 1))
                x_part[...], y_part[...] = X[start : start + 10], y[start : start + 10]
                yield Block(x_part, y_part)

        return of_epoch

    found = []
    for fresh in (True, False):
        state = NET.initialize(0)
        stream = StreamedBlock(60, blocks(fresh), Block(X[:5], y[:5]))
        train(NET, state, stream, epochs=3, batch_size=7)
        found.append(state.theta)
    np.testing.assert_array_equal(*found)


# --- copies while another thread trains -----------------------------------------------------------


def copies_of(est: Any, path: Path) -> list[Callable[[], Any]]:
    def saved() -> Any:
        save(est, path, overwrite=True)
        return deltarule.load(path)

    def dumped() -> Any:
        file = io.BytesIO()
        joblib.dump(est, file)
        file.seek(0)
        return joblib.load(file)

    return [
        lambda: pickle.loads(pickle.dumps(est)),
        lambda: copy.deepcopy(est),
        lambda: copy.copy(est),
        dumped,
        saved,
    ]


def copy_while_training(path: Path, count: int) -> tuple[int, int]:
    """Return how many copies were made, and how many of them were not one known state."""
    made = wrong = 0
    for batch_norm, repeats in ((False, False), (True, False), (False, True)):
        options = {
            "hidden_layer_sizes": (6,), "batch_size": 60, "random_state": 0,
            "batch_norm": batch_norm, "solver": "adam",
        }  # fmt: skip
        steps = count // 3
        reference, known = MLPRegressor(**options), set()
        for _ in range(steps if not repeats else 40):
            known.add(reference.partial_fit(X, Y).predict(X[:4]).tobytes())
        est = MLPRegressor(**options, max_iter=40, tol=0.0, n_iter_no_change=1000)
        est.partial_fit(X, Y)
        stop, errors = threading.Event(), list[BaseException]()

        def trains(
            est: Any = est,
            repeats: bool = repeats,
            steps: int = steps,
            stop: Any = stop,
            errors: Any = errors,
        ) -> None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if repeats:
                        while not stop.is_set():
                            est.fit(X, Y)
                    for _ in range(0 if repeats else steps - 1):
                        est.partial_fit(X, Y)
            except BaseException as error:  # reported below
                errors.append(error)
            finally:
                stop.set()

        thread = threading.Thread(target=trains)
        thread.start()
        makers, here = copies_of(est, path), 0
        while not stop.is_set() and here < count:
            twin = makers[here % len(makers)]()
            here += 1
            seen = twin.predict(X[:4])
            if repeats:  # a fit shuffles: its states are not those of partial_fit
                wrong += not np.isfinite(seen).all() or len(twin.loss_curve_) != twin.n_iter_
            else:
                wrong += seen.tobytes() not in known
            if here % 7 == 0:
                twin.partial_fit(X, Y)
        stop.set()
        thread.join()
        assert not errors, errors
        made += here
    return made, wrong


@pytest.mark.parametrize(
    "count", [100, pytest.param(9000, marks=[pytest.mark.long, pytest.mark.timeout(1500)])]
)
@pytest.mark.filterwarnings("ignore::UserWarning:threading")
def test_copies_while_another_thread_trains(count: int, tmp_path: Path) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        made, wrong = copy_while_training(tmp_path / "m.safetensors", count)
    finally:
        sys.setswitchinterval(interval)
    report("E", copies=made, wrong=wrong)
    assert wrong == 0
    assert made > 20


def test_a_copy_trains_on_its_own() -> None:
    est = MLPRegressor(hidden_layer_sizes=(3,), random_state=0).partial_fit(X, Y)
    before = est.predict(X)
    for twin in (copy.copy(est), copy.deepcopy(est), pickle.loads(pickle.dumps(est))):
        twin.partial_fit(X, Y)
        assert not np.array_equal(twin.predict(X), before)
    np.testing.assert_array_equal(est.predict(X), before)


# --- users' files ---------------------------------------------------------------------------------

THEIRS = [
    ".deltarule-notes.tmp",
    ".deltarule-.tmp",
    ".deltarule-0123456789abcdef.tmp",
    ".deltarule-0123456789abcdef-0123456789abcdef.tmp.tmp",
    ".deltarule-0123456789ABCDEF-0123456789ABCDEF.tmp",
    ".deltarule-0123456789abcdef-notes.tmp",
    "epoch-000001-step-000000004.safetensors.damaged",
    "epoch-1.safetensors",
    "notes.tmp",
]


def test_clean_ups_leave_the_users_files(tmp_path: Path) -> None:
    for name in THEIRS:
        (tmp_path / name).write_text("mine")
    ours = tmp_path / ".deltarule-0123456789abcdef-0123456789abcdef.tmp"
    ours.write_text("half a file of a writer that was killed")
    folder = tmp_path / ".deltarule-0123456789abcdef-0123456789abcdee.tmp"
    folder.mkdir()
    remove_orphans(tmp_path)
    write_atomically(tmp_path / "model", b"x")
    for _ in range(2):
        trained(checkpoint=tmp_path)
    newest = max(tmp_path.glob("epoch-*-step-*.safetensors"))
    kept = tmp_path / f"{newest.name}.damaged"
    kept.write_text("mine")
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="cannot be used, and is now called"):
        trained(checkpoint=tmp_path)
    for name in [*THEIRS, kept.name]:
        assert (tmp_path / name).read_text() == "mine"
    assert folder.is_dir()
    assert not ours.exists()
    report("E", files=len(THEIRS) + 2)
