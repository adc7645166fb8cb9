"""What decides the bits: code, settings and variables, but no file of the working directory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import deltarule
import deltarule.cli.run
from deltarule import Checkpoint, Dense, MLPRegressor, Network, train
from deltarule.datasets import penguins_path
from deltarule.engine import compiler, kernel_cache
from deltarule.errors import CheckpointError, InexactResumeWarning, SpecError
from deltarule.storage import read_model_record, write_model_record
from support.faults import report
from support.paths import TESTS

JIT = pytest.mark.skipif(not compiler.is_compiled(), reason="nothing is compiled")

FIT = """
import numpy as np, warnings
from deltarule import Dense, Network, MLPRegressor, train
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(300, 200))
y = X[:, 0] + np.sin(X[:, 1])
for solver, engine in {cases}:
    rest = {{"batch_size": "auto"}} if solver == "rprop" else {{}}
    rest |= {{"solver": solver, "engine": engine, "max_iter": 2, "random_state": 0}}
    m = MLPRegressor(hidden_layer_sizes=(150, 80), **rest)
    m.fit(X, y)
    print(m.state_.theta.sum().hex(), m.state_.theta[::97].tobytes().hex(), m.loss_curve_)
"""
SMALL = FIT.format(cases=[("sgd", "compiled")])
PREDICT = """
import numpy as np
from deltarule import Dense, Network
net = Network(200, [Dense(150), Dense(1)])
X = np.random.default_rng(0).normal(size=(300, 200))
print(net.predict(net.initialize(0), X).tobytes().hex())
"""
EVERY = [(s, "compiled") for s in ("adam", "sgd", "adagrad", "rmsprop", "rprop", "lbfgs",
                                   "line_search")]  # fmt: skip
EVERY += [("adam", "reference"), ("lbfgs", "reference")]
YAML = "def safe_load(f):\n    return dict(l.strip().split(': ', 1) for l in f)\n"


def run(script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env={**os.environ, **env}, capture_output=True,
        text=True, check=False, timeout=250,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "script"),
    [
        ("import numba\n", PREDICT),
        pytest.param("import numba\n", SMALL, marks=pytest.mark.long),
        pytest.param("", SMALL, marks=pytest.mark.long),
    ],
    ids=["after", "after, fit", "before, fit"],
)
@JIT
def test_numbas_file_in_the_working_directory_decides_nothing(
    first: str, script: str, tmp_path: Path
) -> None:
    """The same kernels under the same names as elsewhere, even if Numba has read its file."""
    here, kept, fake = (tmp_path / name for name in ("here", "kernels", "yaml"))
    here.mkdir()
    fake.mkdir()
    (fake / "yaml.py").write_text(YAML)
    plain = run(script, tmp_path)  # from the cache of all tests
    assert plain.returncode == 0, plain.stderr
    text = "opt: 0\ndisable_jit: 1\ncpu_features: +amx-tile,+avx10.2-512\n"
    (here / ".numba_config.yaml").write_text(text)
    done = run(first + script, here, DELTARULE_CACHE_DIR=str(kept), PYTHONPATH=str(fake))
    assert done.returncode == 0, done.stderr
    assert done.stdout == plain.stdout
    everywhere = kernel_cache.cache_folder()
    assert everywhere is not None
    products = [path for path in kept.iterdir() if path.name.startswith("product")]
    assert len(products) == 2
    assert all((everywhere / path.name).read_bytes() == path.read_bytes() for path in products)
    report("identities", runs=1)


NONSENSE = {
    "CPU_FEATURES": "+amx-tile,+nonsense", "DISABLE_JIT": "x", "OPT": "9", "BOUNDSCHECK": "yes",
    "NUM_THREADS": "0",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), NONSENSE.items())
@JIT
def test_a_nonsense_setting_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"NUMBA_{name}", value)
    with pytest.raises(SpecError, match=f"the environment variable NUMBA_{name} must be"):
        compiler.code_identity()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(*one, marks=[] if i == 0 else pytest.mark.long)
        for i, one in enumerate(NONSENSE.items())
    ],
)
@JIT
def test_a_fit_under_a_nonsense_setting_is_refused(name: str, value: str, tmp_path: Path) -> None:
    done = run(SMALL, tmp_path, **{f"NUMBA_{name}": value})
    last = done.stderr.strip().splitlines()[-1]
    assert f"SpecError: the environment variable NUMBA_{name} must be" in last
    report("identities", runs=1)


@pytest.mark.parametrize(
    "threads", [(2,), pytest.param((4, 7), marks=pytest.mark.long)], ids=["short", "full"]
)
def test_any_number_of_blas_threads_gives_the_same_bits(
    threads: tuple[int, ...], tmp_path: Path
) -> None:
    script = FIT.format(cases=EVERY)
    one = run(script, tmp_path, OPENBLAS_NUM_THREADS="1")
    assert one.returncode == 0, one.stderr
    for count in threads:
        assert run(script, tmp_path, OPENBLAS_NUM_THREADS=str(count)).stdout == one.stdout
    report("identities", runs=len(threads) * len(EVERY))


# --- checkpoints that resume with other code ------------------------------------------------------

ROWS = np.random.default_rng(0).normal(size=(40, 3))
SMALL_FIT = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}


def checkpointed(folder: Path, engine: str = "compiled", *, exact: bool = False) -> list[str]:
    """Fit an estimator and train a network with checkpoints; return what was said of the code."""
    said = []
    for kind in ("fit", "train"):
        keep = Checkpoint(folder / kind, exact=exact)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if kind == "fit":
                    model = MLPRegressor(**SMALL_FIT, engine=engine, checkpoint=keep)
                    model.fit(ROWS, ROWS[:, 0])
                else:
                    net = Network(3, [Dense(3, "tanh"), Dense(1)])
                    state = net.initialize(0)
                    train(net, state, ROWS, ROWS[:, 0], epochs=2, engine=engine, checkpoint=keep)
            except CheckpointError as error:
                said.append(f"refused: {error}")
        found = [w for w in caught if issubclass(w.category, InexactResumeWarning)]
        said += [f"warned: {w.message}" for w in found]
    return said


ELSEWHERE = [
    ({"NUMBA_CPU_NAME": "generic"}, "processor was .* and is generic"),
    ({"NUMBA_DISABLE_JIT": "1"}, "engine was compiled kernels and is kernels as plain Python"),
    ({"NUMBA_CPU_FEATURES": "+sse2"}, "features are others .had, and now lacks: .* others"),
    ({"DELTARULE_CHECK_BOUNDS": "1"}, "engine was .* and is compiled kernels with bounds checks"),
    ({"NUMBA_OPT": "1"}, "settings was default and is NUMBA_OPT=1"),
    ({"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "2"}, None),
]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        pytest.param(*one, marks=[] if i < 2 else pytest.mark.long)
        for i, one in enumerate(ELSEWHERE)
    ],
)
@JIT
def test_a_resume_with_other_code_says_so_or_is_refused(
    env: dict[str, str], message: str | None, tmp_path: Path
) -> None:
    """In another process; the training has ended, so that nothing has to be compiled."""
    checkpointed(tmp_path)
    script = (
        f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(Path(__file__).parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_faults_identities import checkpointed\n"
        "for exact in (True, False):\n"
        f"    print(*checkpointed(Path({str(tmp_path)!r}), exact=exact), sep='\\n')\n"
    )
    done = run(script, tmp_path, **env)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("\n")[:-1]
    if message is None:
        assert not any(said)
    else:
        assert [one.split(":")[0] for one in said] == ["refused"] * 2 + ["warned"] * 2
        assert all(re.search(f"after steps of other code: .*{message}", one) for one in said), said
        assert all("exact=True" in one for one in said)
    report("identities", runs=4)


@JIT
def test_a_checkpoint_remembers_every_engine_that_took_steps(tmp_path: Path) -> None:
    assert checkpointed(tmp_path) == []
    assert checkpointed(tmp_path, exact=True) == []  # the same code: nothing to say
    refused = checkpointed(tmp_path, "reference", exact=True)
    assert len(refused) == 2
    assert all("engine was compiled kernels and is reference" in one for one in refused)
    net = Network(3, [Dense(3, "tanh"), Dense(1)])
    given = {"epochs": 4, "checkpoint": tmp_path / "train"}  # two more epochs, by the reference
    with pytest.warns(InexactResumeWarning, match="engine was compiled kernels and is reference"):
        train(net, net.initialize(0), ROWS, ROWS[:, 0], engine="reference", **given)
    newest = max((tmp_path / "train").iterdir())
    code = read_model_record(newest).record["code"]
    assert [one["engine"] for one in code] == ["compiled kernels", "reference"]
    assert {"deltarule", "NumPy", "BLAS of NumPy"} <= set(code[1])
    given = {"epochs": 4, "checkpoint": Checkpoint(tmp_path / "train", exact=True)}
    for engine in ("compiled", "reference"):  # neither took all steps
        with pytest.raises(CheckpointError, match="after steps of other code"):
            train(net, net.initialize(0), ROWS, ROWS[:, 0], engine=engine, **given)
    report("identities", runs=6)


@JIT
def test_the_command_line_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", str(dated_table(tmp_path)), "-t", "price", "--epochs", "2", "-o", "m", "-f"]
    folder = ["--checkpoint", "run", "--resume"]
    assert deltarule.cli.run.run([*words, "--exact"]) == 2
    assert "--exact go with --checkpoint FOLDER" in capsys.readouterr().err
    assert deltarule.cli.run.run([*words, *folder, "--exact"]) == 0
    newest = max((tmp_path / "run").iterdir())
    contents = read_model_record(newest)
    code = dict(contents.record["code"][0], processor="vax")  # a processor of another kind
    record = dict(contents.record, code=[code])
    write_model_record(contents._replace(record=record), newest, overwrite=True)
    capsys.readouterr()
    assert deltarule.cli.run.run([*words, *folder, "--exact"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "processor was vax and is " in err
    assert "exact=True (--exact) refuses" in err
    assert deltarule.cli.run.run([*words, *folder]) == 0
    out = "".join(capsys.readouterr())
    assert "processor was vax and is " in " ".join(out.split())
    report("identities", runs=4)


# --- no file of the working directory decides anything --------------------------------------------

PLOT = """
import hashlib, io
from deltarule import History, plot_learning_curve
axes = plot_learning_curve(History(loss=[1.0, 0.5], penalty=[0.0, 0.0]))
picture = io.BytesIO()
axes.figure.savefig(picture)
print(hashlib.sha256(picture.getvalue()).hexdigest())
"""
UNREADABLE = b"savefig.dpi: 7\n\xff\n"


def test_matplotlibs_file_in_the_working_directory_decides_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folders = {name: tmp_path / name for name in ("plain", "broken")}
    for folder in folders.values():
        folder.mkdir()
    (folders["broken"] / "matplotlibrc").write_bytes(UNREADABLE)
    env = {"MPLBACKEND": "agg"}
    plots = {name: run(PLOT, folder, **env) for name, folder in folders.items()}
    assert all(done.returncode == 0 for done in plots.values()), plots
    assert len({done.stdout for done in plots.values()}) == 1
    # The user's own file counts: it is read, and named if matplotlib cannot start with it.
    own = str(folders["broken"] / "matplotlibrc")
    done = run(PLOT, tmp_path, **env, MATPLOTLIBRC=own)
    last = done.stderr.strip().splitlines()[-1]
    assert f"SpecError: matplotlib does not start with its settings in {own}: " in last
    report("identities", runs=3)


@pytest.mark.long
def test_the_users_own_settings_of_matplotlib_count(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    own = tmp_path / "own"
    own.write_text("axes.facecolor: red\n")
    plain = run(PLOT, tmp_path, MPLBACKEND="agg")
    here = tmp_path / "here"
    here.mkdir()
    (here / "matplotlibrc").write_text("savefig.dpi: 7\naxes.facecolor: red\n")
    assert run(PLOT, here, MPLBACKEND="agg").stdout == plain.stdout != ""
    assert run(PLOT, tmp_path, MPLBACKEND="agg", MATPLOTLIBRC=str(own)).stdout != plain.stdout
    done = run(PLOT, tmp_path, MPLBACKEND="nonsense")
    last = done.stderr.strip().splitlines()[-1]
    assert "SpecError: matplotlib does not start with MPLBACKEND='nonsense'" in last
    own.write_text("text.usetex: True\n")
    words = ["-m", "deltarule.cli", "train", str(penguins_path()), "--target", "species", "-q"]
    words += ["--epochs", "1", "--plots", "plots"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MATPLOTLIBRC": str(own), "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert f"with its settings in {own}: " in done.stderr
    assert "the model is written" in done.stderr
    report("identities", runs=4)


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("-m deltarule", "deltarule"),
        ("-mdeltarule.demo x", "deltarule.demo"),
        ("-sm deltarule.cli -m x", "deltarule.cli"),
        ("-W error -X dev -bm deltarule", "deltarule"),
        ("-Werror -Xdev --check-hash-based-pycs never -m deltarule", "deltarule"),
        ("-c pass -m deltarule", ""),
        ("script.py -m deltarule", ""),
        ("-X m deltarule", ""),
        ("- -m deltarule", ""),
        ("-m cProfile -m deltarule", "cProfile"),
    ],
)
def test_the_module_of_a_command_line_is_recognised(
    words: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", *words.split()])
    assert deltarule._module_run() == module


SHADOWS = (
    *("argparse", "csv", "dataclasses", "json", "llvmlite", "logging", "matplotlib", "numba"),
    *("numpy", "pandas", "pathlib", "platformdirs", "pyarrow", "pydantic", "random", "rich"),
    *("scipy", "shlex", "sklearn", "string", "threadpoolctl", "typer", "typing", "yaml"),
)
TRAIN = ["train", "penguins.csv", "--target", "species", "-q", "--epochs", "1", "--overwrite"]


@pytest.mark.parametrize(
    "start",
    [
        ["-m", "deltarule.cli", *TRAIN],
        pytest.param(["-m", "deltarule", *TRAIN, "--plots", "plots"], marks=pytest.mark.long),
        pytest.param(["-sm", "deltarule.cli", *TRAIN], marks=pytest.mark.long),
        pytest.param(["-mdeltarule.demo"], marks=pytest.mark.long),
    ],
    ids=["cli", "package", "joined", "demo"],
)
def test_modules_in_the_working_directory_are_not_run(start: list[str], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for name in SHADOWS:
        text = f"open({str(marker)!r}, 'a').write({name!r})\nraise SystemExit(99)\n"
        (tmp_path / f"{name}.py").write_text(text)
    shutil.copy(penguins_path(), tmp_path / "penguins.csv")
    done = subprocess.run(
        [sys.executable, *start], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert not marker.exists(), marker.read_text()
    assert done.returncode == 0, done.stderr
    report("identities", runs=1)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"_DELTARULE_COMPLETE": "nonsense"}, "_DELTARULE_COMPLETE"),
        ({"_DELTARULE_COMPLETE": "complete_tcsh"}, "_DELTARULE_COMPLETE"),
        ({"_DELTARULE_COMPLETE": "1"}, "_DELTARULE_COMPLETE"),
        ({"_DELTARULE_COMPLETE": "complete_bash"}, "COMP_WORDS"),
        ({"_DELTARULE_COMPLETE": "complete_bash", "COMP_WORDS": "deltarule t"}, "COMP_CWORD"),
        (
            {"_DELTARULE_COMPLETE": "complete_bash", "COMP_WORDS": "", "COMP_CWORD": "x"},
            "COMP_CWORD",
        ),
        ({"TERMINAL_WIDTH": "wide"}, "TERMINAL_WIDTH"),
        ({"SKLEARN_WORKING_MEMORY": "much"}, "SKLEARN_WORKING_MEMORY"),
    ],
)
def test_variables_that_a_library_cannot_use_are_named(
    env: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert deltarule.cli.run.run(["--help"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: the environment variable {named} must be ")
    assert err.count("\n") == 1
    report("identities", runs=1)


BITS = """
import hashlib, sys, warnings
import numpy as np
from deltarule import SGD, Dense, Dropout, MLPClassifier, Network, train
from deltarule.cli.run import run
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(120, 6))
y = np.digitize(X[:, 0], [-0.5, 0.5])
net = Network(6, [Dense(8, "tanh"), Dropout(0.2), Dense(3, "softmax")],
              loss="categorical_cross_entropy")
state = net.initialize(0)
history = train(net, state, X, y, epochs=3, optimizer=SGD(0.1, 0.9))
model = MLPClassifier((8,), max_iter=3, early_stopping=True, standardize=True, random_state=0)
model.fit(X, y)
print(state.theta.tobytes().hex(), history.loss, model.state_.theta.tobytes().hex())
print(model.loss_curve_, model.validation_scores_)
words = "-t price -q --epochs 2 -o m --overwrite".split()
if code := run(["train", sys.argv[1], *words]):
    sys.exit(code)
print(hashlib.sha256(open("m", "rb").read()).hexdigest())
"""
FILES = {
    "pyproject.toml": "[tool.deltarule]\nseed = 7\n", "setup.cfg": "[deltarule]\nseed = 7\n",
    "environment.yml": "name: other\n", ".condarc": "channels: []\n", ".env": "OMP_NUM_THREADS=9\n",
    ".numba_config.yaml": "opt: 0\n", "matplotlibrc": "savefig.dpi: 7\n", "site.cfg": "[ALL]\n",
    "sitecustomize.py": "raise SystemExit(9)\n", "usercustomize.py": "raise SystemExit(9)\n",
    "threadpoolctl.json": "{}", "penguins.csv": "a\n1\n",
}  # fmt: skip
VARIABLES = (
    {"LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Chatham"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "7"},
    {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "3"},
    {"GOTO_NUM_THREADS": "3", "BLIS_NUM_THREADS": "3", "NUMEXPR_MAX_THREADS": "3"},
    {"OMP_DYNAMIC": "true", "LOKY_MAX_CPU_COUNT": "1", "DELTARULE_NUM_THREADS": "1"},
    {"SKLEARN_WORKING_MEMORY": "1", "SKLEARN_ASSUME_FINITE": "1", "ARROW_IO_THREADS": "1"},
    {"PYTHONOPTIMIZE": "2", "PYTHONDEVMODE": "1", "COLUMNS": "20", "FORCE_COLOR": "1"},
)


def bits(folder: Path, table: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", BITS, str(table)], cwd=folder, env={**os.environ, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def dated_table(folder: Path) -> Path:
    draw = np.random.default_rng(1)
    days = np.datetime64("2024-01-01T00:30") + draw.integers(0, 10**6, 80).astype("m8[m]")
    lines = [f"{day},{'SIıi'[i % 4]},{i % 7}.5" for i, day in enumerate(days)]
    table = folder / "table.csv"
    table.write_text("\n".join(["when,where,price", *lines]) + "\n", encoding="utf-8")
    return table


@JIT
def test_files_and_variables_around_a_training_change_no_bit(tmp_path: Path) -> None:
    """All files and all variables at once: locale, time zone, hashes, threads, optimisation."""
    table, hostile, plain = dated_table(tmp_path), tmp_path / "hostile", tmp_path / "plain"
    hostile.mkdir()
    plain.mkdir()
    for name, text in FILES.items():
        (hostile / name).write_text(text)
    together = {name: value for group in reversed(VARIABLES) for name, value in group.items()}
    del together["PYTHONDEVMODE"], together["PYTHONOPTIMIZE"]  # slow
    assert bits(hostile, table, together) == bits(plain, table, {})
    report("identities", runs=1)


@pytest.mark.long
@JIT
def test_each_group_of_variables_changes_no_bit(tmp_path: Path) -> None:
    table = dated_table(tmp_path)
    plain = bits(tmp_path, table, {})
    for group in VARIABLES:
        assert bits(tmp_path, table, group) == plain, group
    report("identities", runs=len(VARIABLES))
