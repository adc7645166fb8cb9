"""Training with faults: kills, damaged checkpoints, other data, signals, infinity, no memory."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule import Checkpoint, MLPClassifier, MLPRegressor, load
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from deltarule.errors import CheckpointError, DivergenceError, OutputError
from deltarule.estimators.numeric_targets import NumericTargets
from deltarule.storage import atomic_write, model_file
from deltarule.tables import TabularClassifier
from support.checkpoints import CLASSES, NUMBERS, Cut, X, cases, outcome
from support.faults import report
from support.paths import TESTS

SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (6,), "max_iter": 6, "batch_size": 20, "n_iter_no_change": 100,
    "random_state": 1,
}  # fmt: skip


def fitted(checkpoint: Any = None, **changed: Any) -> MLPRegressor:
    x, y = changed.pop("X", X), changed.pop("y", NUMBERS)
    fit = changed.pop("fit", {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        return MLPRegressor(**(SMALL | {"checkpoint": checkpoint} | changed)).fit(x, y, **fit)


def newest(folder: Path) -> Path:
    return max(folder.glob("*.safetensors"))


def interrupt(at: int) -> Cut:
    return Cut(at, lambda: os.kill(os.getpid(), signal.SIGINT))


def cut_off(folder: Any, at: int, **changed: Any) -> Any:
    with interrupt(at), pytest.warns(UserWarning, match="interrupted"):
        return fitted(Checkpoint(folder, every_epochs=1), **changed)


# --- 4: a folder that cannot be written to --------------------------------------------------------


def test_a_folder_that_cannot_be_used_is_refused_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    epochs: list[Any] = []
    real = NumericTargets.score
    monkeypatch.setattr(NumericTargets, "score", lambda *a: (epochs.append(a), real(*a))[1])
    given = {"early_stopping": True}
    for name, message in (
        ("file", "cannot write checkpoints to .*file"),
        ("dangling", "cannot write checkpoints to .*dangling"),
        ("none/run", "there is no folder .*none; create it first"),
        ("file/run", "cannot write checkpoints to"),
        ("a\0b", r"cannot write checkpoints to .*a\\x00b.*; name another folder"),
        ("a\ud800b", r"cannot write checkpoints to .*a\\ud800b.*; name another folder"),
    ):
        with pytest.raises(OutputError, match=message):
            fitted(tmp_path / name, **given)
    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(atomic_write.os, "access", lambda *a: False)
        with pytest.raises(OutputError, match="read-only"):
            fitted(tmp_path / "run", **given)
    for name in ("open", "listdir"):  # a folder that may be written to, and not read
        real_call = getattr(os, name)

        def forbidden(path: Any, *a: Any, real_call: Any = real_call, **k: Any) -> Any:
            if path == tmp_path / "run":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real_call(path, *a, **k)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, forbidden)
            with pytest.raises(
                OutputError, match=r"cannot write checkpoints to .*Permission denied"
            ):
                fitted(tmp_path / "run", **given)
    for call in ("open", "write", "fsync", "replace"):
        real_call = getattr(os, call)

        def failing(*a: Any, call: str = call, real_call: Any = real_call, **k: Any) -> Any:
            told = call != "open" or str(a[0]).endswith(".tmp")
            if told:
                raise OSError(30, "Read-only file system")
            return real_call(*a, **k)

        with monkeypatch.context() as patch:
            patch.setattr(atomic_write.os, call, failing)
            with pytest.raises(OutputError, match="Read-only file system"):
                fitted(tmp_path / "run", **given)
    assert epochs == []
    assert (tmp_path / "file").read_text() == "precious"
    assert list((tmp_path / "run").iterdir()) == []
    report("checkpoint folders", tried=13, refused=13)


# --- 5: killed and resumed ------------------------------------------------------------------------


def killed_and_resumed(folder: Path, numbers: list[int]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "support.checkpoints", str(folder), *map(str, numbers)], cwd=TESTS,
        capture_output=True, text=True, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(numbers), done.stderr
    wrong = [line for line in lines if not all(line["same"].values())]
    report("killed and resumed", kills=len(lines), equal=len(lines) - len(wrong))
    assert not wrong


def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, [1, 19, 28])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_kind_of_training_killed_and_resumed(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, list(range(2 * len(cases()))))


# --- 6: damaged checkpoints -----------------------------------------------------------------------


def damages(path: Path) -> list[tuple[str, Any]]:
    whole = path.read_bytes()
    rng = np.random.default_rng(6)

    def flipped(bit: int) -> bytes:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    flips = [("flip", flipped(int(bit))) for bit in rng.integers(0, 8 * len(whole), 8)]
    cuts = [("cut", whole[: int(n)]) for n in [0, 1, 9, 700, *rng.integers(0, len(whole), 2)]]
    model = fitted()
    model.save(path.with_name("model"))
    foreign = [path.with_name("model").read_bytes(), b"\x80\x04N.", b"text\n" * 50, b"PK\x03\x04"]
    path.with_name("model").unlink()
    others = sorted(path.parent.glob("*.safetensors"))
    foreign += [others[0].read_bytes()]  # another checkpoint of this run, under a wrong name
    return [*flips, *cuts, *(("foreign", data) for data in foreign), ("empty", b"\0" * 4096)]


def test_a_damaged_checkpoint_is_skipped_for_the_previous_one(tmp_path: Path) -> None:
    expected = outcome(fitted())
    cut_off(tmp_path / "run", 29)  # in the fifth epoch
    cases = damages(newest(tmp_path / "run"))
    good = 0
    for number, (kind, data) in enumerate(cases):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "run", folder)
        broken = newest(folder)
        broken.write_bytes(data)
        with pytest.warns(UserWarning, match="cannot be used") as told:
            came_out = outcome(fitted(folder))
        assert len(told) == 1, kind
        assert (
            f"Training resumes from an older one, {sorted(os.listdir(tmp_path / 'run'))[-2]}"
            in str(told[0].message)
        )
        assert broken.with_name(broken.name + ".damaged").read_bytes() == data
        good += came_out == expected
    report("damaged checkpoints", tried=len(cases), recovered=good)
    assert good == len(cases) == 20


def test_without_a_readable_checkpoint_the_error_is_clear(tmp_path: Path) -> None:
    cut_off(tmp_path / "run", 20)
    names = sorted((tmp_path / "run").iterdir())
    for path in names:
        path.write_bytes(path.read_bytes()[:-1])
    before = {path.name: path.read_bytes() for path in names}
    with pytest.raises(
        CheckpointError, match=f"none of the {len(names)} checkpoints .*start again"
    ):
        fitted(tmp_path / "run")
    assert {path.name: path.read_bytes() for path in names} == before


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_refused_training_renames_no_damaged_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome(fitted())
    cut_off(tmp_path / "run", 20)
    newest(tmp_path / "run").write_bytes(b"damaged")
    before = kept(tmp_path / "run")
    refusals: list[tuple[Any, dict[str, Any], str]] = [
        (tmp_path / "run", {"alpha": 0.5}, "alpha was 0.0001 and is 0.5"),
        (tmp_path / "run", {"y": -NUMBERS}, "y has other values"),
        (Checkpoint(tmp_path / "run", resume=False), {}, "of an earlier training"),
    ]
    for where, changed, message in refusals:
        with pytest.raises(CheckpointError, match=message):
            fitted(where, **changed)
    assert kept(tmp_path / "run") == before
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if str(target).endswith(".damaged"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.warns(UserWarning, match=r"cannot be used, and could not be renamed \(Read-only"):
        assert outcome(fitted(tmp_path / "run")) == expected


@pytest.mark.parametrize("fault", ["EIO", "EACCES", "memory", "layout", "record"])
def test_a_checkpoint_that_may_be_intact_is_neither_skipped_nor_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    expected = outcome(fitted())
    cut_off(tmp_path / "run", 20)
    path = newest(tmp_path / "run")
    sound, contents = path.read_bytes(), model_file.read_model_record(path)
    told = {
        "memory": "does not fit into memory",
        "layout": "has the file format '2'",
        "record": "this version of deltarule cannot use",
    }
    message = told.get(fault, "cannot read the model file")
    with monkeypatch.context() as patch:
        if fault == "layout":
            with monkeypatch.context() as newer:
                newer.setattr(model_file, "VERSION", "2")
                path.write_bytes(model_file.encode(contents))
        elif fault == "record":  # a later release may keep more
            later = contents._replace(record=contents.record | {"deltarule": "99", "more": 1})
            path.write_bytes(model_file.encode(later))
        else:
            error = MemoryError() if fault == "memory" else OSError(getattr(errno, fault), fault)
            real = os.stat

            def stat(name: Any, *given: Any, **more: Any) -> Any:
                if name == path:
                    raise error
                return real(name, *given, **more)

            patch.setattr(model_file.os, "stat", stat)
        before = sorted(os.listdir(tmp_path / "run")), path.read_bytes()
        with pytest.raises(CheckpointError, match=message) as caught:
            fitted(tmp_path / "run")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (sorted(os.listdir(tmp_path / "run")), path.read_bytes()) == before
    path.write_bytes(sound)
    assert outcome(fitted(tmp_path / "run")) == expected


# --- 7: other data, other arguments ---------------------------------------------------------------


def test_other_data_or_arguments_are_refused_and_named(tmp_path: Path) -> None:
    fit = {"sample_weight": np.ones(len(X))}
    cut_off(tmp_path / "run", 20, fit=fit)
    touched, swapped = X.copy(), NUMBERS.copy()
    touched[7, 3] = np.nextafter(touched[7, 3], 9)
    swapped[[0, 1]] = swapped[[1, 0]]
    heavier = {"sample_weight": np.append(np.ones(len(X) - 1), 2)}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"alpha": 0.5}, "alpha was 0.0001 and is 0.5"),
        ({"hidden_layer_sizes": (7,)}, r"hidden_layer_sizes was \[6\] and is \[7\]"),
        ({"solver": "sgd", "momentum": 0.5}, "momentum was 0.9 and is 0.5; solver was adam and is"),
        ({"random_state": 2}, "random_state was 1 and is 2"),
        ({"batch_size": 21}, "batch_size was 20 and is 21"),
        ({"augment": lambda x, rows, epoch: x}, "augment was None and is .*lambda"),
        ({"X": touched}, r"X has other values \(float64 \(120, 6\), as before\)"),
        ({"y": swapped}, r"of another training: y has other values"),
        ({"X": X[:-1], "y": NUMBERS[:-1], "fit": {"sample_weight": np.ones(len(X) - 1)}},
         r"X was float64 \(120, 6\) and is float64 \(119, 6\); y was"),
        ({"fit": heavier}, "another training: sample_weight has other values"),
        ({"fit": {}}, "sample_weight is missing, and was given"),
        ({"learning_rate": "cosine"}, "learning_rate was constant and is cosine. Use"),
    ]  # fmt: skip
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    for changed, message in cases:
        with pytest.raises(CheckpointError, match=message):
            fitted(tmp_path / "run", **({"fit": fit} | changed))
    with pytest.raises(CheckpointError, match="estimator was MLPRegressor and is MLPClassifier"):
        MLPClassifier(**SMALL, checkpoint=tmp_path / "run").fit(X, CLASSES)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    report("other trainings", tried=len(cases) + 1, named=len(cases) + 1)
    fitted(tmp_path / "run", fit=fit, n_threads=1)


# --- 8: Ctrl-C ------------------------------------------------------------------------------------


def interrupted(folder: Path | None, delay: float) -> float:
    """Send Ctrl-C after a delay to a fit that takes minutes; return the time until the fit ends."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20_000, 20)), rng.normal(size=20_000)
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    model = MLPRegressor(
        hidden_layer_sizes=(64, 64), batch_size=50, max_iter=10**6, tol=0.0, random_state=0,
        n_iter_no_change=np.inf, early_stopping=True, checkpoint=folder, record_health=True,
    )  # fmt: skip
    timer = threading.Timer(delay, press)

    real = MLPRegressor._prepare

    def prepared(*given: Any, **more: Any) -> Any:
        rows = real(*given, **more)
        timer.start()
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPRegressor, "_prepare", prepared)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(x, y)
    took = time.monotonic() - pressed[0]
    timer.join()
    assert np.isfinite(model.predict(x[:5])).all()
    n = model.n_iter_
    assert len(model.loss_curve_) == len(model.validation_scores_) == len(model.health_) == n
    assert took < 60  # half a second is asked; the rest is for machines that do other things, too
    if folder is not None:
        assert list(folder.glob("*.safetensors"))
        assert not list(folder.glob(".deltarule-*"))
    return took


def test_ctrl_c_returns_the_best_model(tmp_path: Path) -> None:
    took = [interrupted(tmp_path / str(i) if i % 2 else None, 0.05 + 0.15 * i) for i in range(4)]
    report("ctrl-c", tried=4, returned=4, in_time=sum(t <= 0.5 for t in took), slowest=max(took))


@pytest.mark.long
def test_ctrl_c_at_fifty_times(tmp_path: Path) -> None:
    delays = np.random.default_rng(8).uniform(0, 1.5, 46)
    took = [interrupted(tmp_path / str(i) if i % 2 else None, d) for i, d in enumerate(delays)]
    report("ctrl-c", tried=46, returned=46, in_time=sum(t <= 0.5 for t in took), slowest=max(took))


def test_a_fit_can_be_resumed_after_ctrl_c(tmp_path: Path) -> None:
    expected = outcome(fitted())
    for at in (1, 2, 9, 23, 30):
        cut_off(tmp_path / str(at), at)
        assert outcome(fitted(Checkpoint(tmp_path / str(at), every_epochs=1))) == expected


def test_a_second_ctrl_c_is_not_deferred() -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with Cut(5, twice), pytest.warns(UserWarning, match="interrupted"):
        fitted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_signal_handlers_are_not_changed() -> None:
    seen: list[int] = []

    def mine(number: int, frame: Any) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, mine), signal.signal(signal.SIGTERM, mine)
    try:
        during: list[Any] = []

        def look() -> None:
            during.extend([signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)])
            os.kill(os.getpid(), signal.SIGTERM)

        with Cut(5, look):
            fitted()
        assert during == [mine, mine]
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_only_the_main_thread_defers_signals() -> None:
    during: list[Any] = []
    with Cut(5, lambda: during.append(signal.getsignal(signal.SIGINT))):
        thread = threading.Thread(target=fitted)
        thread.start()
        thread.join()
    assert during == [signal.default_int_handler]


@pytest.mark.parametrize("source", ["--no-stream", "--stream"])
def test_ctrl_c_in_the_first_epoch_writes_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    shutil.copy(penguins_path(), tmp_path / "penguins.csv")
    words = ["train", str(tmp_path / "penguins.csv"), "-t", "species", "-q", source]
    words += ["--epochs", "3", "--hidden", "4"]
    model, run_folder = tmp_path / "m", tmp_path / "run"
    kept = ["--checkpoint", str(run_folder), "--resume"]
    for more, left in (
        ([], "nothing was written"),
        (kept, f"a checkpoint is in {run_folder}: run the same command with --resume to continue"),
    ):
        with interrupt(3):
            code = run([*words, *more, "-o", str(model)])
        assert code == 130
        assert capsys.readouterr() == ("", f"error: interrupted before the end; {left}\n")
        assert not model.exists()
    assert run([*words, *kept, "-o", str(model)]) == 0
    assert run([*words, "-o", str(tmp_path / "whole")]) == 0
    assert model.read_bytes() == (tmp_path / "whole").read_bytes()


# --- 9: SIGTERM on the command line ---------------------------------------------------------------

TRAIN = (
    "train", "penguins.csv", "-t", "species", "--hidden", "200,200", "--batch-size", "16",
    "--patience", "1000000",
)  # fmt: skip


def deltarule(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deltarule", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_sigterm_leaves_a_checkpoint_and_exit_143(tmp_path: Path) -> None:
    shutil.copy(penguins_path(), tmp_path / "penguins.csv")
    words = (*TRAIN, "--epochs", "60")
    process = deltarule(tmp_path, *words, "--epochs", "1000000", "--checkpoint", "run")
    while not list(tmp_path.glob("run/*.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.3)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=250)[1]
    took = time.monotonic() - sent
    assert process.returncode == 143, err
    assert err.startswith("error: terminated before the end; a checkpoint is in run:")
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("**/.deltarule-*"))
    assert not (tmp_path / "penguins.safetensors").exists()
    # resume to the number of finished epochs, or to a few more
    done = int(newest(tmp_path / "run").name.split("-")[1])
    words = (*TRAIN, "--epochs", str(done + 5))
    for more in (("-o", "a", "--checkpoint", "run", "--resume"), ("-o", "b")):
        going = deltarule(tmp_path, *words, *more)
        assert going.communicate(timeout=250)[1] == ""
        assert going.returncode == 0
    same = (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    report("sigterm", tried=1, resumable=int(same), seconds=round(took, 2))
    assert same
    assert took < 60
    assert type(load(tmp_path / "a")) is TabularClassifier


# --- 22: what is not finite -----------------------------------------------------------------------


def remedy_or_model(tmp_path: Path, kind: type, given: dict[str, Any], x: Any, y: Any) -> str:
    """Return "stopped", "warned" or "finished"; fail if the model or its message is wrong."""
    model = kind(**(SMALL | given), checkpoint=tmp_path)
    told = "finished"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(x, y)
        except DivergenceError as error:
            told, message = "stopped", str(error)
    assert told == "finished" or "standardise" in message or "try " in message
    if any("stopped being finite" in str(w.message) for w in caught):
        told = "warned"
    assert np.isfinite(model.state_.theta).all()
    assert all(np.isfinite(value).all() for value in model.state_.buffers.values())
    return told


@pytest.mark.parametrize("solver", ["sgd", "adam", "rmsprop", "rprop"])
def test_no_returned_model_is_ever_infinite_or_nan(tmp_path: Path, solver: str) -> None:
    fits, ends = 0, {"stopped": 0, "warned": 0, "finished": 0}
    wild = [
        ({"learning_rate_init": 50.0 if solver == "rprop" else 1e6}, X),
        ({}, X * 1e300),
        ({"dtype": "float32"}, X * 1e25),
        (
            {
                "learning_rate_init": 50.0 if solver == "rprop" else 1e30,
                "dtype": "float32",
                "batch_norm": True,
            },
            X,
        ),
    ]
    for number, (given, x) in enumerate(wild):
        for more in ({}, {"early_stopping": True}, {"on_divergence": "recover"}, {"alpha": 1e200}):
            given |= {"solver": solver, "hidden_layer_sizes": (5, 4)}
            given |= {"batch_size": "auto"} if solver == "rprop" else {}
            for kind, y in ((MLPRegressor, NUMBERS), (MLPClassifier, CLASSES)):
                place = tmp_path / f"{number}-{'-'.join(more)}-{kind.__name__}"
                ends[remedy_or_model(place, kind, given | more, x, y)] += 1
                fits += 1
    assert ends["stopped"] + ends["warned"] > 0
    report("not finite", fits=fits, stopped=ends["stopped"] + ends["warned"])


# --- 32: no memory, no room -----------------------------------------------------------------------

LIMITED = """
import os, resource, sys, warnings
from deltarule.cli.run import run
from deltarule.engine import engine
from deltarule.training import loop

engine._CALL = 0.0  # a step a call
real, looks = loop._Training._between_calls, [0]

def look(training):
    real(training)
    looks[0] += 1
    if looks[0] == {at}:
        pages = int(open("/proc/self/statm").read().split()[0])
        room = pages * resource.getpagesize() + {room}
        resource.setrlimit(resource.RLIMIT_AS, (room, room))

loop._Training._between_calls = look
sys.exit(run({words!r}))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
@pytest.mark.parametrize("at", [3, pytest.param(20, marks=pytest.mark.long)])
def test_too_little_memory_keeps_the_old_checkpoint(tmp_path: Path, at: int) -> None:
    shutil.copy(penguins_path(), tmp_path / "penguins.csv")
    words = [*TRAIN, "--hidden", "700,700", "--epochs", "2", "--checkpoint", "run",
             "--every-epochs", "1", "--keep-last", "9"]  # fmt: skip
    code = LIMITED.format(at=at, room=2**20, words=words)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DELTARULE_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    if done.returncode == 2:
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("run/.deltarule-*"))
    left = sorted(tmp_path.glob("run/*.safetensors"))
    assert left
    if done.returncode == 0:  # a checkpoint was missed, or the little memory was enough for all
        assert "no checkpoint could be written" in done.stdout or len(left) == 3
    going = deltarule(tmp_path, *words, "--resume", "-f")
    assert going.communicate(timeout=250)[1] == ""
    assert going.returncode == 0
    report("memory", tried=1, intact=1, code=done.returncode)


def test_a_full_disk_gives_a_warning_and_training_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome(fitted())
    real, calls = os.write, [0]

    def full(descriptor: int, data: Any) -> int:
        begins = os.lseek(descriptor, 0, os.SEEK_CUR) == 0  # another file
        calls[0] += begins
        if begins and 2 <= calls[0] <= 4:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(atomic_write.os, "write", full)
    with pytest.warns(UserWarning, match="No space left.*Training continues") as told:
        came_out = outcome(fitted(Checkpoint(tmp_path / "run", every_epochs=1)))
    assert came_out == expected
    assert len(told) == 3
    assert "epoch-000000-step-000000000.safetensors, stays" in str(told[0].message)
    assert [p.name[:12] for p in sorted((tmp_path / "run").iterdir())] == [
        "epoch-000004", "epoch-000005", "epoch-000006",
    ]  # fmt: skip
    report("full disk in training", failed=3, trained=1)
