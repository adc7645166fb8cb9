"""Memory (kind A): objects used by several threads at once, and from inside themselves.

Every scenario runs in a process of its own, so that a crash is a failed test. The expected numbers
are those of the same call made alone, and of the equations in NumPy.
"""

import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from deltarule import MLPClassifier
from deltarule.errors import BusyError
from support.faults import report

COMMON = """
import gc, os, signal, sys, threading, time, warnings
import numpy as np
from deltarule import Dense, MLPClassifier, MLPRegressor, Network, train
from deltarule.errors import BusyError
warnings.simplefilter("ignore")
COUNT = int(sys.argv[1])
rng = np.random.default_rng(0)

def in_threads(work, n=4):
    errors = []
    def run(k):
        try:
            work(k)
        except BaseException as error:
            errors.append(repr(error))
    threads = [threading.Thread(target=run, args=(k,)) for k in range(n)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not errors, errors[:3]

inside = [0]

def alarm_every_ms(handler):
    def some_deep(*given):  # one that takes longer than the time between two has no end
        if inside[0] >= 5: return
        inside[0] += 1
        try: handler(*given)
        finally: inside[0] -= 1
    signal.signal(signal.SIGALRM, some_deep)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

def alarms_off():
    signal.setitimer(signal.ITIMER_REAL, 0)

def data(n=240, d=6):
    X = rng.normal(size=(n, d))
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
"""

PREDICTORS = """
nets = []
for units in (1, 3, 17, 130, 600, 2000):
    net = Network(4, [Dense(units, "tanh"), Dense(2)])
    state = net.initialize(units)
    X = rng.normal(size=(40, 4))
    P = net.parameters(state)
    right = np.tanh(X @ P["W1"] + P["b1"]) @ P["W2"] + P["b2"]
    predictor = net.predictor(state)
    np.testing.assert_allclose(predictor(X), right, rtol=1e-9, atol=1e-9)
    alone = [predictor(X[i:i + 1 + i % 5]).copy() for i in range(30)]
    nets.append((predictor, net, state, X, alone))
wrong, calls = [0], [0]

def work(k):
    done = bad = 0
    for j in range(COUNT // 4):
        predictor, net, state, X, alone = nets[(j + k) % 6 if j % 16 == 0 else (j + k) % 4]
        i = (7 * j + k) % 30
        got = predictor(X[i:i + 1 + i % 5]) if j % 8 else net.predict(state, X[i:i + 1 + i % 5])
        bad += not np.array_equal(got, alone[i]); done += 1
    wrong[0] += bad; calls[0] += done

def on_alarm(*_):
    predictor, net, state, X, alone = nets[calls[0] % 3]
    if not np.array_equal(predictor(X[3:7]), alone[3]): wrong[0] += 1

alarm_every_ms(on_alarm)
sys.setswitchinterval(1e-5)
in_threads(work)
for j in range(300): work_one = nets[j % 5][0](nets[j % 5][3][:1])
alarms_off()
print(calls[0], wrong[0])
"""

ESTIMATORS = """
X, y = data()
est = MLPClassifier((30,), max_iter=4, random_state=0).fit(X, y)
reg = MLPRegressor(hidden_layer_sizes=(5, 5), max_iter=4, random_state=0).fit(X, y * 1.0)
right = [est.predict_proba(X[i:i + 3]) for i in range(50)]
numbers = [reg.predict(X[i:i + 3]) for i in range(50)]
score = est.score(X, y)
wrong, calls = [0], [0]

def work(k):
    done = bad = 0
    for j in range(COUNT // 4):
        i = (j * 13 + k) % 50
        bad += not np.array_equal(est.predict_proba(X[i:i + 3]), right[i])
        bad += not np.array_equal(reg.predict(X[i:i + 3]), numbers[i])
        if j % 50 == 0: bad += est.score(X, y) != score
        done += 2
    wrong[0] += bad; calls[0] += done

def on_alarm(*_):
    wrong[0] += not np.array_equal(est.predict_proba(X[:3]), right[0])

alarm_every_ms(on_alarm)
sys.setswitchinterval(1e-5)
in_threads(work)
alarms_off()
print(calls[0], wrong[0])
"""

WHILE_FITTING = """
# The network is one weight matrix whose two columns train alike: equal columns in every state
# between two steps, so unequal outputs are half a step.
X = rng.normal(size=(64, 2000)); y = X[:, :1] * np.ones((1, 2))
net = Network(2000, [Dense(2)])
state = net.initialize(0)
state.theta[...] = 0.0
train(net, state, X, y, epochs=1, batch_size=16, optimizer="adam")
state.theta[...] = 0.0
stop, wrong, calls = [False], [0], [0]
def reads(k):
    if k == 0:
        for _ in range(COUNT // 40):
            train(net, state, X, y, epochs=2, batch_size=16, optimizer="adam")
        stop[0] = True
        return
    while not stop[0]:
        got = net.predict(state, X[:8]); calls[0] += 1
        wrong[0] += not (np.array_equal(got[:, 0], got[:, 1]) and np.isfinite(got).all())
in_threads(reads)

# An estimator that one thread fits and others use; a signal handler, a finaliser too.
A, b = data()
est = MLPClassifier((8,), max_iter=3, random_state=1, n_threads=2).fit(A, b)
def key(p): return p.tobytes()
stop[0] = False
def uses(k):
    if k == 0:
        for _ in range(COUNT // 40): est.partial_fit(A, b)
        stop[0] = True
        return
    while not stop[0]:
        p = est.predict_proba(A[:5]); calls[0] += 1
        wrong[0] += not (np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1))
        est.predict(A[:2])
in_threads(uses)

# The states between the calls of partial_fit are known: a call of one full batch is one step.
one = MLPRegressor(hidden_layer_sizes=(4,), batch_size=240, random_state=0)
clone = MLPRegressor(hidden_layer_sizes=(4,), batch_size=240, random_state=0)
steps = max(50, COUNT // 20)
seen = set()
for _ in range(steps): seen.add(key(clone.partial_fit(A, b * 1.0).predict(A[:3])))
one.partial_fit(A, b * 1.0)
stop[0] = False
def exact(k):
    if k == 0:
        for _ in range(steps - 1): one.partial_fit(A, b * 1.0)
        stop[0] = True
        return
    while not stop[0]:
        calls[0] += 1
        wrong[0] += key(one.predict(A[:3])) not in seen
in_threads(exact)
assert key(one.predict(A[:3])) == key(clone.predict(A[:3]))

# Four threads that call partial_fit of one estimator take their turns.
four = MLPRegressor(hidden_layer_sizes=(4,), batch_size=240, random_state=0)
four.partial_fit(A, b * 1.0)
def turns(k):
    for _ in range((steps - 1) // 4): four.partial_fit(A, b * 1.0)
in_threads(turns)
assert key(four.predict(A[:3])) in seen and four.t_ == 240 * (1 + (steps - 1) // 4 * 4)
print(calls[0], wrong[0])
"""

REENTRY = """
A, b = data()
wrong, calls = [0], [0]
os.environ["_DELTARULE_FORCE_THREADS"] = "3"
big = rng.normal(size=(400, 30)); target = (big[:, 0] > 0).astype(int)
def fresh(**more):
    return MLPClassifier((60, 40), max_iter=6, batch_size=200, random_state=0, n_threads=2, **more)
plain = fresh().fit(big, target).predict_proba(big)
def reg():
    return MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0, n_threads=2)
others = reg().fit(A, b * 1.0).predict(A[:4])
est = fresh()
net = Network(30, [Dense(70, "relu"), Dense(1)])
state = net.initialize(0)
expected = net.initialize(0)
train(net, expected, big, target, epochs=4, batch_size=100)
class Dying:
    def __del__(self):
        act()
busy = [0]; inside = [False]
def act(*_):
    if inside[0]: return
    inside[0] = True
    try:
        calls[0] += 1
        kind = calls[0] % 5
        if kind == 0 and hasattr(est, "_model"):
            wrong[0] += not np.isfinite(est.predict_proba(big[:3])).all()
        elif kind == 1:  # the pool may be at work, and its lock taken
            again = reg().fit(A, b * 1.0)
            wrong[0] += not np.array_equal(again.predict(A[:4]), others)
        elif kind == 2:
            wrong[0] += not np.isfinite(net.predict(state, big[:3])).all()
        elif kind == 3:
            try: est.fit(big, target)
            except BusyError: busy[0] += 1
        else:
            try: train(net, state, big, target, epochs=1)
            except BusyError: busy[0] += 1
    finally:
        inside[0] = False
rounds = max(2, COUNT // 40)
fitting = [False]
for _ in range(rounds):
    for callback in (False, True):
        est = fresh()
        def handler(*_):
            if est.__dict__.get("_lock_of_fits") is None or not est._lock_of_fits.is_mine: return
            calls[0] % 5 == 4 and calls.__setitem__(0, calls[0] + 1)
            act()
        alarm_every_ms(handler)
        est.fit(big, target)
        alarms_off()
        p = est.predict_proba(big)
        calls[0] += 1
        wrong[0] += not np.array_equal(p, plain)
    state = net.initialize(0)
    def on_alarm(*_):
        if not state._guard.training.is_mine: return
        calls[0] % 5 == 3 and calls.__setitem__(0, calls[0] + 1)
        act()
    alarm_every_ms(on_alarm)
    train(net, state, big, target, epochs=4, batch_size=100)
    alarms_off()
    wrong[0] += not np.array_equal(state.theta, expected.theta)
    # finalisers and epoch callbacks
    state = net.initialize(0)
    def begin(entered):
        loop = Dying(); loop.me = loop; del loop; gc.collect()
        wrong[0] += not np.isfinite(net.predict(state, big[:2])).all()
    calls[0] += calls[0] % 5 == 2
    train(net, state, big, target, epochs=4, batch_size=100, on_epoch_begin=begin)
    wrong[0] += not np.array_equal(state.theta, expected.theta)
print(calls[0], wrong[0])
assert busy[0] > 0
"""

INTERRUPTS = """
# A handler that raises, at any place of a call: no buffers are shared afterwards, nothing is stuck.
net = Network(4, [Dense(300, "tanh"), Dense(2)])
state = net.initialize(0)
X = rng.normal(size=(3, 4))
predictor = net.predictor(state)
right = predictor(X)
A, b = data()
est = MLPClassifier((8,), max_iter=2, random_state=1, n_threads=2).fit(A, b)
step = est.partial_fit  # looked up once: scikit-learn turns what is raised meanwhile into its own
class Stop(Exception): pass
armed = [False]
def raises(*_):
    if armed[0]:
        armed[0] = False
        raise Stop
wrong = calls = raised = 0
alarm_every_ms(raises)
while calls < COUNT:
    calls += 1
    try:
        armed[0] = True
        predictor(X) if calls % 3 else step(A, b)
        armed[0] = False
    except Stop:
        raised += 1
    finally:
        armed[0] = False
    wrong += not np.array_equal(predictor(X), right)
alarms_off()
assert np.isfinite(est.predict_proba(A)).all()
def work(k):
    est.partial_fit(A, b)  # no lock is left behind
    assert np.array_equal(predictor(X), right)
in_threads(work)
print(calls, wrong)
assert raised > 0
"""

FORKS = """
# Children forked while another thread trains: nothing is locked, and no state is torn.
X = rng.normal(size=(64, 2000)); y = X[:, :1] * np.ones((1, 2))
net = Network(2000, [Dense(2)]); state = net.initialize(0); state.theta[...] = 0.0
A, b = data()
est = MLPClassifier((30,), max_iter=3, random_state=1).fit(A, b)
stop, bad, calls = [False], 0, 0
def trains():
    while not stop[0]:
        train(net, state, X, y, epochs=3, batch_size=8, optimizer="adam")
        est.partial_fit(A, b)
thread = threading.Thread(target=trains); thread.start()
for _ in range(max(8, COUNT // 50)):
    time.sleep(0.002)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        got = net.predict(state, X[:4])
        right = np.array_equal(got[:, 0], got[:, 1]) and np.isfinite(got).all()
        right = right and np.isfinite(est.predict_proba(A[:3])).all()
        est.partial_fit(A, b)
        train(net, state, X, y, epochs=1)
        os._exit(0 if right else 1)
    bad += os.waitpid(pid, 0)[1] != 0
    calls += 1
stop[0] = True
thread.join()
print(calls, bad)
"""

SCENARIOS = {
    "predictors": (PREDICTORS, 1000, 120_000),
    "estimators": (ESTIMATORS, 500, 60_000),
    "while fitting": (WHILE_FITTING, 250, 8000),
    "re-entry": (REENTRY, 30, 4000),
    "interrupts": (INTERRUPTS, 170, 20_000),
    "forks": (FORKS, 70, 5000),
}


def outcome(code: str, count: int, timeout: float) -> tuple[int, int]:
    """Return how many calls a scenario made, and how many of them were wrong."""
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", COMMON + textwrap.dedent(code), str(count)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, f"exit code {ended.returncode}: {ended.stderr[-3000:]}"
    calls, wrong = map(int, ended.stdout.split())
    return calls, wrong


def check(name: str, count: int, timeout: float) -> None:
    calls, wrong = outcome(SCENARIOS[name][0], count, timeout)
    report("A", scenario=name, calls=calls, wrong=wrong)
    assert wrong == 0
    assert calls >= 8


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and fork")
@pytest.mark.parametrize("name", SCENARIOS)
def test_shared_and_reentered_objects(name: str) -> None:
    check(name, SCENARIOS[name][1], 120)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and fork")
@pytest.mark.parametrize("name", SCENARIOS)
def test_shared_and_reentered_objects_in_full(name: str) -> None:
    check(name, SCENARIOS[name][2], 1700)


def test_a_fit_inside_a_fit_leaves_the_outer_ones_callbacks() -> None:
    """It is refused, and the end of the refused fit tears nothing of the outer one down."""
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    events: list[str] = []
    refused = 0

    class Inside:
        def setup(self, estimator: Any, context: Any) -> None:
            events.append("setup")

        def on_fit_task_begin(self, *args: Any, **kwargs: Any) -> None:
            pass

        def on_fit_task_end(self, estimator: Any, *args: Any, **kwargs: Any) -> bool:
            nonlocal refused
            with pytest.raises(BusyError):
                estimator.fit(X, y)
            refused += 1
            events.append("end")
            return False

        def teardown(self, estimator: Any, context: Any) -> None:
            events.append("teardown")

    model = MLPClassifier((2,), max_iter=3, random_state=0).set_callbacks(Inside())
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert events == ["setup", *["end"] * refused, "teardown"]
    assert refused >= 3
    report("A", scenario="callbacks of a refused fit", calls=refused, wrong=0)
