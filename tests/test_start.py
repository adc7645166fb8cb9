"""What a process imports before its first prediction: no more than predicting needs.

The time to start is the time of imports, so this says which packages stay out, not how long it
takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deltarule import MLPClassifier, MLPRegressor, load, save
from deltarule.tables import Plan, Settings, TableModel, fit, prepare, read_table
from support.estimators import unconverged

ROWS = [
    "size,born,kind,member,class,price",
    *(
        f"{1.5 * i},2001-0{1 + i % 9}-1{i % 9},{'abc'[i % 3]},{str(i % 2 == 0).lower()},"
        f"{'xyz'[i % 3]},{i * i / 7}"
        for i in range(60)
    ),
]
TARGETS = ["class", "member", "price"]
"""Of three classes, of two, and a number."""
HEAVY = {
    *("sklearn", "pandas", "scipy.stats", "scipy.sparse", "scipy.special", "scipy.optimize"),
    *("numba", "matplotlib", "joblib", "onnx", "deltarule.training.loop", "deltarule.analysis"),
    *("deltarule.augmentation", "deltarule.reference", "deltarule.tables.preparation"),
    *("deltarule.tables.judge", "deltarule.tables.profile", "rich"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tables and models, whose kernels are in the cache: they predict here."""
    folder = tmp_path_factory.mktemp("start")
    table = folder / "table.csv"
    table.write_text("\n".join(ROWS))
    (folder / "ten.csv").write_text("\n".join(ROWS[:11]))
    for target in TARGETS:
        prepared = prepare(read_table(table), Plan(target))
        with unconverged():
            model = fit(prepared, Settings(hidden=(4,), epochs=2, patience=2))
        model.save(folder / target)
        TableModel.load(folder / target).predict(read_table(folder / "ten.csv"))
    X = np.arange(60.0).reshape(20, 3)
    with unconverged():
        save(MLPClassifier((4,), max_iter=2).fit(X, np.arange(20) % 3), folder / "classifier")
        save(MLPClassifier((4,), max_iter=2).fit(X, np.arange(20) % 2), folder / "binary")
        save(
            MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(X, X[:, 0]), folder / "regressor"
        )
        for kind in ("classifier", "binary", "regressor"):
            load(folder / kind).predict(np.ones((2, 3)))
    return folder


@pytest.fixture(scope="module")
def floor(folder: Path) -> set[str]:
    """Return the modules that scikit-learn itself imports for an estimator."""
    code = "import sklearn.base\ntry:\n import sklearn.callback\nexcept ImportError:\n pass"
    return modules_after(code, folder)


def modules_after(code: str, folder: Path) -> set[str]:
    """Return the modules that a fresh process has imported after it ran some code."""
    code = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_imports_only_what_predicts(folder: Path, target: str) -> None:
    words = ["predict", target, "ten.csv", "-o", f"{target}.out", "--overwrite"]
    code = f"from deltarule.cli.run import run\nassert run({words!r}) == 0"
    assert modules_after(code, folder) & HEAVY == set()
    assert len((folder / f"{target}.out").read_text().splitlines()) == 11


@pytest.mark.parametrize("target", TARGETS)
def test_a_model_of_a_table_imports_only_what_predicts(folder: Path, target: str) -> None:
    code = (
        "from deltarule.tables import TableModel, read_table\n"
        f"model = TableModel.load({target!r})\n"
        "print(len(model.predict(read_table('ten.csv')).values))"
    )
    assert modules_after(code, folder) & HEAVY == set()


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor"])
def test_an_estimator_imports_little_beside_scikit_learn_itself(
    folder: Path, floor: set[str], kind: str
) -> None:
    code = f"import deltarule, numpy\ndeltarule.load({kind!r}).predict(numpy.ones((2, 3)))"
    added = modules_after(code, folder) - floor
    assert "deltarule.estimators.base" in added
    packages = {name.partition(".")[0] for name in added}
    assert not packages & {"numba", "pyarrow", "matplotlib", "onnx", "skops", "joblib", "scipy"}
    assert {name for name in added if name.startswith("sklearn.")} <= {
        "sklearn.utils.metaestimators"
    }
    assert not added & {"deltarule.onnx", "deltarule.estimators.inspection", "deltarule.tables"}
