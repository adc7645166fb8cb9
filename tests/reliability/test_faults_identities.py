"""Identities that leave inputs out: numba's settings, and the number of BLAS threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deltarule.engine import compiler, kernel_cache
from support.faults import report

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
    "first", ["import numba\n", pytest.param("", marks=pytest.mark.long)], ids=["after", "before"]
)
@JIT
def test_numbas_file_in_the_working_directory_decides_nothing(first: str, tmp_path: Path) -> None:
    """The same kernels under the same names as elsewhere, even if Numba has read its file."""
    here, kept, fake = (tmp_path / name for name in ("here", "kernels", "yaml"))
    here.mkdir()
    fake.mkdir()
    (fake / "yaml.py").write_text(YAML)
    plain = run(SMALL, tmp_path)  # from the cache of all tests
    assert plain.returncode == 0, plain.stderr
    text = "opt: 0\ndisable_jit: 1\ncpu_features: +amx-tile,+avx10.2-512\n"
    (here / ".numba_config.yaml").write_text(text)
    done = run(first + SMALL, here, DELTARULE_CACHE_DIR=str(kept), PYTHONPATH=str(fake))
    assert done.returncode == 0, done.stderr
    assert done.stdout == plain.stdout
    everywhere = kernel_cache.cache_folder()
    assert everywhere is not None
    products = [path for path in kept.iterdir() if path.name.startswith("product")]
    assert len(products) == 2
    assert all((everywhere / path.name).read_bytes() == path.read_bytes() for path in products)
    report("identities", runs=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DISABLE_JIT", "x"), ("OPT", "9"), ("BOUNDSCHECK", "yes"), ("NUM_THREADS", "0"),
     ("CPU_FEATURES", "+amx-tile,+nonsense")],
)  # fmt: skip
@JIT
def test_a_nonsense_setting_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
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
