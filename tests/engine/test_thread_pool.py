"""Threads of the compiled engine: the same bits, no hang and no crash in any situation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from threadpoolctl import threadpool_info, threadpool_limits

pytest.importorskip("llvmlite")

from deltarule import (
    L1,
    L2,
    Adam,
    BatchNorm,
    ClipNorm,
    Dense,
    Dropout,
    MaxNorm,
    Network,
)
from deltarule.engine import Engine, thread_pool
from deltarule.engine import buffers as buffers_module
from deltarule.engine.compiler import is_compiled
from deltarule.engine.work_plan import Mode
from deltarule.errors import SpecError
from deltarule.program import Block, State
from support.faults import report
from support.networks import one_order, random_data, train_all_steps

JIT = pytest.mark.skipif(not is_compiled(), reason="without compiled code there is one thread")
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def times(short: int, full: int) -> pytest.MarkDecorator:
    """Repeat a scenario inside one test; the full count under the mark ``long``."""
    counts = [
        pytest.param(short, id="short"),
        pytest.param(full, id="full", marks=pytest.mark.long),
    ]
    return pytest.mark.parametrize("count", counts)


# --- the same bits --------------------------------------------------------------------------------

HEAD = Dense(10, "softmax")
NETWORKS: dict[str, Callable[[str], Network]] = {
    "plain": lambda dtype: Network(
        64, [Dense(128, "relu"), HEAD], "categorical_cross_entropy", dtype=dtype
    ),
    "batch norm, dropout": lambda dtype: Network(
        64,
        [Dropout(0.1), Dense(128, "tanh", batch_norm=BatchNorm()), Dropout(0.3), HEAD],
        "categorical_cross_entropy",
        dtype=dtype,
    ),
    "constraints, penalties": lambda dtype: Network(
        64,
        [Dense(128, "silu"), Dense(64, "elu"), HEAD],
        "categorical_cross_entropy",
        penalties=(L2(1e-3), L1(1e-5)),
        constraints=(MaxNorm(0.8), MaxNorm(5.0, per="network")),
        dtype=dtype,
    ),
    "wide": lambda dtype: Network(
        512, [Dense(512, "relu"), Dense(512, "tanh"), Dense(4)], "squared_error", dtype=dtype
    ),
    "wide, batch norm, dropout": lambda dtype: Network(
        96,
        [Dense(512, "relu", batch_norm=BatchNorm()), Dropout(0.5), Dense(512, "gelu"), HEAD],
        "categorical_cross_entropy",
        dtype=dtype,
    ),
}


class Case:
    """A network and its data."""

    def __init__(self, name: str, dtype: str, rows: int = 500, *, sparse: bool = False) -> None:
        self.net = NETWORKS[name](dtype)
        data = random_data(self.net, rows, seed=1)
        x = csr_array(data.x * (data.x > 1.0)) if sparse else data.x
        self.block = Block(x, data.y, data.weight)
        self.order = one_order(np.random.default_rng(2).permutation(rows), 128, 0.01)

    def engine(self, n_threads: int | None = None, *, clips: bool = False) -> Engine:
        clipping = ClipNorm(0.05) if clips else None
        return Engine(self.net.tape, Adam(0.01), clipping, n_threads=n_threads)

    def run(self, *, most: int | None = None, clips: bool = False, epochs: int = 2) -> list[bytes]:
        """Return every number that an engine computes, as bytes."""
        engine, state = self.engine(clips=clips), self.net.initialize(seed=3)
        made: list[Any] = []
        for _ in range(epochs):
            made += train_all_steps(engine, state, self.block, self.order, most)
        engine.release()
        [buffers] = engine._free[Mode.TRAIN, not isinstance(self.block.x, np.ndarray)]
        assert not buffers.plan.is_small
        sums = engine.gradient(state, self.block)
        made += [sums.loss, sums.gradient, *sums.moments]
        engine.apply_gradient(state, sums, 0.01)
        made += [engine.forward(state, self.block), engine.losses(state, self.block)]
        made += engine.evaluation(self.block)(state)
        return [np.asarray(array).tobytes() for array in (*made, *numbers_of(state))]


def numbers_of(state: State) -> list[Any]:
    return [
        state.theta,
        state.step,
        *state.optimizer_state,
        *(state.buffers[k] for k in sorted(state.buffers)),
    ]


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the number of threads, also to more than the cores."""
    return lambda n: monkeypatch.setenv("_DELTARULE_FORCE_THREADS", str(n))


@JIT
@pytest.mark.parametrize(
    ("count", "dtype", "clips"),
    [
        (1, "float64", False),
        (1, "float32", True),
        *(
            pytest.param(10, dtype, clips, marks=pytest.mark.long)
            for dtype in ("float64", "float32")
            for clips in (False, True)
        ),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits_at_any_number_of_threads(
    name: str, dtype: str, clips: bool, count: int, force: Callable[[int], None]
) -> None:
    case = Case(name, dtype)
    force(1)
    alone = case.run(clips=clips)
    for n in (2, 3, 8) * count:
        force(n)
        assert case.run(clips=clips) == alone


@JIT
@DTYPES
def test_same_bits_on_sparse_inputs(dtype: str, force: Callable[[int], None]) -> None:
    case = Case("batch norm, dropout", dtype, sparse=True)
    force(1)
    alone = case.run()
    for n in (2, 3, 8):
        force(n)
        assert case.run() == alone


@JIT
@DTYPES
@pytest.mark.parametrize("name", ["batch norm, dropout", "constraints, penalties", "wide"])
def test_steps_of_one_call_are_steps_of_many(
    name: str, dtype: str, force: Callable[[int], None]
) -> None:
    case = Case(name, dtype)
    for n in (1, 3):
        force(n)
        expected = case.run(most=1)
        assert case.run() == expected
        assert case.run(most=3) == expected


@JIT
@times(1, 20)
def test_many_short_calls_on_more_threads_than_cores(
    count: int, force: Callable[[int], None]
) -> None:
    case = Case("plain", "float32")
    force(1)
    expected = case.run(most=1, epochs=20)
    force(5)
    for _ in range(count):
        assert case.run(most=1, epochs=20) == expected


@JIT
def test_a_call_returns_soon(force: Callable[[int], None]) -> None:
    case = Case("plain", "float32", 20_000)
    force(2)
    engine, state, done, seconds = case.engine(), case.net.initialize(seed=3), 0, []
    while done < case.order.n_batches:
        began = time.perf_counter()
        steps = engine.train_steps(state, case.block, case.order, range(done, case.order.n_batches))
        seconds.append(time.perf_counter() - began)
        done += len(steps.loss)
    assert float(np.median(seconds)) < 0.1
    if os.name == "posix" and done / len(seconds) < 2:
        pytest.fail("one step a call: calls are much shorter than they may be")


# --- other threads, other processes ---------------------------------------------------------------


@JIT
@pytest.mark.parametrize("forced", [None, 3])
@pytest.mark.parametrize("fits", [2, 4])
@times(2, 100)
def test_python_threads_that_fit_at_the_same_time(
    fits: int, forced: int | None, count: int, force: Callable[[int], None]
) -> None:
    names = ["plain", "batch norm, dropout", "wide", "constraints, penalties"][:fits]
    cases = [Case(name, "float32", 300) for name in names]
    force(1)
    expected = [case.run(epochs=1) for case in cases]
    force(forced or thread_pool.available_cores())
    for _ in range(count):
        found: list[Any] = [None] * fits

        def fit(i: int, found: list[Any] = found) -> None:
            found[i] = cases[i].run(epochs=1)

        workers = [threading.Thread(target=fit, args=(i,)) for i in range(fits)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert found == expected
    report("threads at once", times=count)


@JIT
@times(20, 500)
def test_python_threads_that_share_a_predictor(count: int, force: Callable[[int], None]) -> None:
    force(2)
    net = Case("plain", "float32", 300).net
    predict = net.predictor(net.initialize(seed=3))
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, net.n_inputs)).astype("float32") for n in (1, 50, 300, 2000)]
    expected = [predict(x) for x in rows]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(count) if not np.array_equal(predict(rows[i]), expected[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(rows))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not wrong


@pytest.mark.parametrize("verb", ["forward", "losses", "gradient"])
def test_a_call_inside_another_call_of_the_same_engine(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler may predict while another prediction writes its tables."""
    net = Network(3, [Dense(4, "tanh"), Dense(2)], "squared_error")
    engine, state = Engine(net.tape), net.initialize(seed=0)
    first, second = (random_data(net, n, n).block for n in (40, 7))

    def numbers(block: Block) -> Any:
        result = getattr(engine, verb)(state, block)
        return result.gradient if verb == "gradient" else result

    expected = numbers(first), numbers(second)
    inner: list[Any] = []

    def interrupt(run: Callable[..., None], *given: Any) -> None:
        if not inner:
            inner.append(None)
            inner[0] = numbers(second)
        run(*given)

    if verb == "gradient":
        monkeypatch.setattr(engine, "_run", partial(interrupt, engine._run))
    else:
        mode = Mode.OUTPUTS if verb == "forward" else Mode.LOSSES
        [lane] = engine._predictions[mode, False]._free
        lane.buffers.call = partial(interrupt, lane.buffers.call)
    np.testing.assert_array_equal(numbers(first), expected[0])
    np.testing.assert_array_equal(inner[0], expected[1])


COMMON = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's, about forks of threads
import numpy as np
from deltarule import Adam, Dense, Network, train

def fit(epochs=3):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 64)).astype("float32"), rng.integers(0, 10, 400)
    layers = [Dense(128, "relu"), Dense(10, "softmax")]
    net = Network(64, layers, "categorical_cross_entropy", dtype="float32")
    state = net.initialize(seed=0)
    train(net, state, x, y, optimizer=Adam(0.01), batch_size=128, epochs=epochs, engine="compiled")
    return state.theta.tobytes() + net.predict(state, x).tobytes()

def helpers():
    return sum(t.name.startswith("deltarule-") for t in threading.enumerate())

def ended(child):
    began = time.monotonic()
    while time.monotonic() - began < 60:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return "hung"
"""


def python(script: str, *, forced: int | None = 3, timeout: float = 250, **env: Any) -> str:
    """Run a script after ``COMMON`` in a new Python process; return what it prints."""
    given = {name: str(value) for name, value in env.items()}
    if forced is not None:
        given["_DELTARULE_FORCE_THREADS"] = str(forced)
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    assert done.stderr == ""
    return done.stdout


@JIT
@FORK
@times(5, 100)
def test_fork_after_a_fit(count: int) -> None:
    python(f"""
expected = fit()
assert helpers() == 2
for i in range({count}):
    child = os.fork()
    if child == 0:
        os._exit(0 if fit() == expected and helpers() == 2 else 1)
    assert ended(child) == 0, i
assert fit() == expected
""")
    report("forks", times=count)


@JIT
@FORK
@times(5, 100)
def test_fork_in_the_middle_of_another_threads_fit(count: int) -> None:
    python(f"""
expected, stop, wrong = fit(), threading.Event(), []
def work():
    while not stop.is_set():
        if fit() != expected:
            wrong.append(1)
threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for i in range({count}):
    child = os.fork()
    if child == 0:
        os._exit(0 if fit() == expected else 1)
    assert ended(child) == 0, i
stop.set()
for thread in threads:
    thread.join()
assert not wrong
""")
    report("forks", times=count)


@FORK
def test_a_child_forked_while_a_network_is_lowered() -> None:
    python(
        """
from deltarule.network import network
lowering, leave, lower = threading.Event(), threading.Event(), network.lower
def slowly(net):
    lowering.set()
    leave.wait(60)
    return lower(net)
network.lower = slowly
slow = Network(2, [Dense(1)], "squared_error")
thread = threading.Thread(target=lambda: slow.tape)
thread.start()
lowering.wait()
child = os.fork()
if child == 0:
    network.lower = lower
    os._exit(0 if Network(3, [Dense(1)], "squared_error").tape else 1)
assert ended(child) == 0
leave.set()
thread.join()
"""
    )


@JIT
@FORK
def test_a_forked_child_finds_no_lock_held() -> None:
    """Even if another thread was compiling or queueing a task."""
    python(
        """
from deltarule.engine import compiler, thread_pool
fit()
holding, leave = threading.Event(), threading.Event()
def compile():
    with compiler._lock:
        time.sleep(0.2)
def hold():
    with thread_pool._pool._lock:
        holding.set()
        leave.wait()
holder = threading.Thread(target=hold, daemon=True)
compiling = threading.Thread(target=compile)
holder.start(); holding.wait()
compiling.start()
child = os.fork()
if child == 0:
    signal.alarm(30)
    free = compiler._lock.acquire(timeout=5)
    os._exit(0 if free and fit() else 1)
assert ended(child) == 0
leave.set(); holder.join(); compiling.join()
"""
    )


@JIT
@FORK
@times(1, 25)
def test_multiprocessing_by_fork(count: int) -> None:
    python(f"""
import multiprocessing
expected = fit()
for _ in range({count}):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(fit, [3] * 4) == [expected] * 4
""")
    report("pools", times=4 * count)


@JIT
@pytest.mark.parametrize("backend", ["loky", "threading"])
@times(1, 25)
def test_joblib(backend: str, count: int) -> None:
    python(f"""
from joblib import Parallel, delayed
expected = fit()
with Parallel(n_jobs=2, backend={backend!r}) as parallel:
    for _ in range({count}):
        assert parallel(delayed(fit)(3) for _ in range(4)) == [expected] * 4
""")
    report("pools", times=4 * count)


@JIT
@times(2, 100)
def test_the_process_ends_while_its_threads_are_busy(count: int) -> None:
    for i in range(count):
        python("fit()\nassert helpers() == 2", timeout=60)
        python(
            "fit()\ndef forever():\n  while True: fit()\n"
            "threading.Thread(target=forever, daemon=True).start()\n"
            f"time.sleep(0.05 + {i % 7} / 99)",
            timeout=60,
        )


@JIT
@times(10, 100)
def test_interrupts_in_the_middle_of_fits(count: int) -> None:
    python(f"""
expected = fit()
late = []
for i in range({count}):
    def strike():
        struck.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    struck = []
    timer = threading.Timer(0.01 + 0.003 * (i % 37), strike)
    try:
        timer.start()
        while not struck:
            fit(50_000)  # training itself ends at Ctrl-C, and restores its best epoch
    except KeyboardInterrupt:  # before or after training
        pass
    late.append(time.monotonic() - struck[0])
    timer.join()
    if i % 10 == 0:
        assert fit() == expected
assert fit() == expected
assert helpers() == 2
late.sort()
assert late[len(late) // 2] < 0.5, late
""")


# --- helpers --------------------------------------------------------------------------------------


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an empty pool for this test."""
    fresh = thread_pool._ThreadPool()
    monkeypatch.setattr(thread_pool, "_pool", fresh)
    return fresh


def is_helper() -> bool:
    return threading.current_thread().name.startswith("deltarule-")


def test_work_is_done_with_helpers_and_without(pool: Any) -> None:
    for n in (1, 2, 4):
        inside, met = [], threading.Barrier(n)

        def work(inside: list[bool] = inside, met: threading.Barrier = met) -> None:
            inside.append(is_helper())
            met.wait(20)

        thread_pool.run_together(work, n)
        assert sorted(inside) == [False] + [True] * (n - 1)
        assert pool._size == n - 1


def test_an_error_on_a_helper_reaches_the_caller(pool: Any) -> None:
    began = threading.Event()

    def work() -> None:
        if is_helper():
            began.set()
            raise ArithmeticError("on a helper")
        assert began.wait(20)

    for _ in range(3):  # the helper survives
        began.clear()
        with pytest.raises(ArithmeticError, match="on a helper"):
            thread_pool.run_together(work, 2)
    assert pool._size == 1


@pytest.mark.parametrize("fails", [False, True])
def test_no_helper_runs_a_task_after_the_call(pool: Any, fails: bool) -> None:
    began, inside = threading.Event(), []

    def work() -> None:
        if is_helper():
            inside.append(1)
            began.set()
            time.sleep(0.2)
            inside.pop()
        else:
            assert began.wait(20)
            if fails:
                raise ArithmeticError("of the caller")

    if fails:
        with pytest.raises(ArithmeticError, match="of the caller"):
            thread_pool.run_together(work, 2)
    else:
        thread_pool.run_together(work, 2)
    assert inside == []


def test_a_busy_helper_is_not_waited_for(pool: Any) -> None:
    leave, began = threading.Event(), threading.Event()

    def long() -> None:
        if is_helper():
            began.set()
        assert leave.wait(60)

    first = threading.Thread(target=thread_pool.run_together, args=(long, 2))
    first.start()
    assert began.wait(20)
    seen: list[bool] = []
    for _ in range(50):
        thread_pool.run_together(lambda: seen.append(is_helper()), 2)
    assert seen == [False] * 50
    leave.set()
    first.join()
    time.sleep(0.05)
    assert seen == [False] * 50  # a withdrawn task is not run later


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread() or os.name != "posix",
    reason="signals are for the main thread",
)
def test_an_interrupt_waits_for_the_helpers(pool: Any) -> None:
    """Ctrl-C, twice, while the caller waits: the kernel's memory must outlive the helper."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    began, inside = threading.Event(), []

    def strike() -> None:
        for _ in range(2):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    def work() -> None:
        if is_helper():
            inside.append(1)
            began.set()
            time.sleep(0.5)
            inside.pop()
        else:
            assert began.wait(20)

    striker = threading.Thread(target=strike)
    try:
        striker.start()
        with pytest.raises(KeyboardInterrupt):
            thread_pool.run_together(work, 2)
        assert inside == []
    finally:
        striker.join()
        signal.signal(signal.SIGINT, before)


def test_a_system_that_cannot_start_threads(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen: list[bool] = []
    thread_pool.run_together(lambda: seen.append(is_helper()), 4)
    assert seen == [False]
    monkeypatch.undo()
    monkeypatch.setattr(thread_pool, "_pool", pool)
    assert pool._size == 0
    test_work_is_done_with_helpers_and_without(pool)


@times(300, 20_000)
def test_calls_from_many_threads(pool: Any, count: int) -> None:
    """No helper runs a task of a call that has ended, and no call waits forever."""
    wrong: list[str] = []

    def call_often() -> None:
        for _ in range(count):
            state = {"inside": 0, "over": 0}
            lock = threading.Lock()

            def work(state: dict[str, int] = state, lock: Any = lock) -> None:
                with lock:
                    state["inside"] += 1
                    if state["over"]:
                        wrong.append("late")
                with lock:
                    state["inside"] -= 1

            thread_pool.run_together(work, 4)
            state["over"] = 1
            if state["inside"]:
                wrong.append("inside")

    callers = [threading.Thread(target=call_often) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(250)
        assert not caller.is_alive()
    assert wrong == []
    assert pool._size == 3


# --- how many -------------------------------------------------------------------------------------


def test_the_maximum_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_DELTARULE_FORCE_THREADS", raising=False)
    monkeypatch.delenv("DELTARULE_NUM_THREADS", raising=False)
    monkeypatch.setattr(thread_pool, "available_cores", lambda: 4)
    assert [thread_pool.thread_ceiling(n) for n in (None, 1, 3, 4, 5, 99)] == [4, 1, 3, 4, 4, 4]
    for given, expected in ("3", 3), (" 2 ", 2), ("64", 4), ("", 4), ("  ", 4):
        monkeypatch.setenv("DELTARULE_NUM_THREADS", given)
        assert thread_pool.thread_ceiling(None) == expected
        assert thread_pool.thread_ceiling(1) == 1
    for n in (0, -1, 1.5, "2", True):
        with pytest.raises(SpecError, match="n_threads must be"):
            thread_pool.thread_ceiling(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "2x", "²", "0x2", "1 2", "None"])
def test_a_malformed_number_of_threads_is_refused(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_DELTARULE_FORCE_THREADS", raising=False)
    monkeypatch.setenv("DELTARULE_NUM_THREADS", given)
    with pytest.raises(SpecError, match="DELTARULE_NUM_THREADS must be a whole number above 0"):
        thread_pool.thread_ceiling(None)


@JIT
def test_helpers_are_at_most_one_less_than_the_cores() -> None:
    script = """
from deltarule.engine.thread_pool import available_cores
cores = {cores}
if cores:
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:cores]))
    assert available_cores() == cores
threads = [threading.Thread(target=fit) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
fit()
print(helpers(), available_cores())
"""
    can_bind = hasattr(os, "sched_setaffinity")
    for cores in (None, 1) if can_bind else (None,):
        helpers, available = map(int, python(script.format(cores=cores), forced=None).split())
        assert helpers <= available - 1
    said = python(script.format(cores=None), forced=None, DELTARULE_NUM_THREADS=1)
    assert said.split()[0] == "0"


class Files(dict[str, str]):
    """Replacement for the system's files."""

    def read(self, file: Path) -> str | None:
        return self.get(str(file))


GROUP = "/sys/fs/cgroup"
QUOTAS = [
    ({}, None),
    ({f"{GROUP}/cpu.max": "max 100000\n"}, None),
    ({f"{GROUP}/cpu.max": "150000 100000\n"}, 2),
    ({f"{GROUP}/cpu.max": "50000 100000\n"}, 1),
    ({f"{GROUP}/cpu.max": "300000 100000\n", "/proc/self/cgroup": "0::/\n"}, 3),
    # a service below a slice: the smaller quota counts
    ({"/proc/self/cgroup": "0::/user.slice/a.service\n",
      f"{GROUP}/user.slice/a.service/cpu.max": "max 100000",
      f"{GROUP}/user.slice/cpu.max": "200000 100000"}, 2),
    ({"/proc/self/cgroup": "0::/user.slice/a.service\n",
      f"{GROUP}/user.slice/a.service/cpu.max": "100000 100000",
      f"{GROUP}/user.slice/cpu.max": "200000 100000"}, 1),
    ({"/proc/self/cgroup": "0::/../outside\n", f"{GROUP}/cpu.max": "200000 100000"}, 2),
    # version 1
    ({f"{GROUP}/cpu/cpu.cfs_quota_us": "-1", f"{GROUP}/cpu/cpu.cfs_period_us": "100000",
      "/proc/self/cgroup": "3:cpu,cpuacct:/\n2:memory:/x\n"}, None),
    ({f"{GROUP}/cpu/cpu.cfs_quota_us": "250000", f"{GROUP}/cpu/cpu.cfs_period_us": "100000",
      "/proc/self/cgroup": "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/docker/1\n"}, 3),
    ({f"{GROUP}/cpu/docker/cpu.cfs_quota_us": "1", f"{GROUP}/cpu/docker/cpu.cfs_period_us": "0",
      "/proc/self/cgroup": "3:cpu:/docker\n"}, None),
    ({f"{GROUP}/cpu.max": "nonsense"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "quota"), QUOTAS)
def test_the_control_groups_quota(
    files: dict[str, str], quota: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_pool, "_read", Files(files).read)
    assert thread_pool._quota() == quota
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert thread_pool.available_cores() == (quota or 16)


# --- BLAS -----------------------------------------------------------------------------------------


@JIT
def test_fits_do_not_change_the_limits_of_blas(
    force: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine uses its own products, so other users of BLAS keep all threads."""
    case = Case("plain", "float32", 300)
    force(2)
    seen: list[list[int]] = []
    together = thread_pool.run_together

    def watch(work: Callable[[], None], n_threads: int) -> None:
        seen.append(blas_threads())
        together(work, n_threads)
        seen.append(blas_threads())

    case.run()  # compile first: Numba may load another BLAS
    monkeypatch.setattr(buffers_module, "run_together", watch)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        case.run()
        assert seen
        assert all(threads == before for threads in seen)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
