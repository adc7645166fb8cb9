"""Files with a right digest and hostile values: refused, or used without a crash or a NaN."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from deltarule import MLPClassifier, load, save
from deltarule.errors import CheckpointError, ModelFileError
from deltarule.persistence.token_patterns import is_harmless
from deltarule.utils.random_streams import is_stream_state
from support.estimators import unconverged
from support.faults import report
from support.paths import ROOT
from support.restored_pipelines import LABELS, ROWS, WORDS
from support.restored_values import TRAININGS, trained
from support.storage import model_files, parts_of, signed

SLOWEST = 1.0
SHORT = [("checkpoints", 101, 80), ("models", 102, 130), ("pipelines", 103, 70)]
LONG = [
    pytest.param(kind, seed, 10_000 if kind != "pipelines" else 5000, marks=pytest.mark.long)
    for kind, seeds in (("checkpoints", 5), ("models", 5), ("pipelines", 2))
    for seed in range(1, seeds + 1)
]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "seed", "count"), [*SHORT, *LONG])
def test_hostile_values_are_refused_or_harmless(
    tmp_path: Path, kind: str, seed: int, count: int
) -> None:
    """In a process of its own, so that a crash names its file: KIND SEED COUNT ONLY repeats it."""
    progress = tmp_path / "progress"
    environment = os.environ | {"PROGRESS": str(progress), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "support.restored_values", kind, str(seed), str(count)],
        cwd=ROOT / "tests", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (seed, progress.read_text(), done.stderr[-2000:])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    *unhandled, totals = lines
    assert unhandled == []
    assert 0.05 * count < totals["accepted"] < 0.9 * count  # some changes are harmless
    assert totals["slowest"] < SLOWEST
    report("restored values", kind=kind, files=count, slowest=totals["slowest"])


def changed(tmp_path: Path, model: Any, message: str) -> None:
    """Assert that saving a pipeline with a hostile attribute, or loading one, is refused."""
    with pytest.raises(ModelFileError, match=message):
        save(model, tmp_path / "m")


def fitted(*steps: Any, X: Any = ROWS) -> Any:
    with unconverged():
        return make_pipeline(*steps, MLPClassifier((3,), max_iter=2)).fit(X, LABELS)


def test_hostile_attributes_are_refused_by_name(tmp_path: Path) -> None:
    model = fitted(CountVectorizer(), TruncatedSVD(2), X=WORDS)
    model[0].vocabulary_["cat"] = 10**9
    changed(tmp_path, model, r"vocabulary_")
    for name, value in {
        "input": "filename", "token_pattern": "(a+)+$", "ngram_range": (1, 10**9),
    }.items():  # fmt: skip
        model = fitted(CountVectorizer(), TruncatedSVD(2), X=WORDS)
        changed(tmp_path, model.set_params(**{f"countvectorizer__{name}": value}), name)
    model = fitted(StandardScaler())
    for odd in (np.full(4, np.nan), np.zeros(4), np.ones(3), np.ones((4, 1)), "a", None):
        model[0].mean_ = odd if odd is not None else np.full(4, np.inf)
        if odd is not None and np.shape(odd) == (4,) and np.isfinite(odd).all():
            model[0].mean_, model[0].scale_ = np.ones(4), odd  # a scale of 0
        changed(tmp_path, model, r"mean_|scale_")


def test_steps_that_do_not_fit_each_other(tmp_path: Path) -> None:
    model = fitted(PolynomialFeatures(2), StandardScaler(), PCA(3))
    assert len(load(save(model, tmp_path / "sound")).predict(ROWS)) == len(ROWS)
    model.steps[0], model.steps[2] = model.steps[2], model.steps[0]
    changed(tmp_path, model, r"standardscaler takes 15 features, but the step before it gives 3")


def test_numbers_whose_squares_overflow(tmp_path: Path) -> None:
    model = fitted(PCA(3))
    model[0].components_[1, 2] = 1e200
    changed(tmp_path, model, "components_")


@pytest.mark.parametrize("pos", [-(10**9), -1, 625, 10**6])
def test_positions_of_random_streams(tmp_path: Path, pos: int) -> None:
    model = fitted(PCA(2, random_state=np.random.RandomState(1)))
    held = model[0].random_state.get_state(legacy=False)
    assert is_stream_state(held)
    held["state"]["pos"] = pos
    assert not is_stream_state(held)
    model[0].random_state.set_state(held)
    changed(tmp_path, model, "random stream")


def test_a_loaded_pipeline_computes_in_its_own_process(tmp_path: Path) -> None:
    from sklearn.compose import ColumnTransformer

    inner = ColumnTransformer([("s", StandardScaler(), make_column_selector())], n_jobs=1)
    model = fitted(ColumnTransformer([("s", StandardScaler(), [0, 1])], n_jobs=1))
    model[0].n_jobs = 9
    assert load(save(model, tmp_path / "m"))[0].n_jobs is None
    assert inner.n_jobs == 1


@pytest.mark.parametrize("pattern", [r"(?u)\b\w\w+\b", r"\b\w+\b", r"\w+", r"(?u)\b[a-z]{2,}\b"])
def test_patterns_of_one_repeat_are_harmless(pattern: str) -> None:
    assert is_harmless(pattern)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r".*.*x", r"\w+\w+\w+1", r"[^x]+y", r"(\w)\1+", 3])
def test_patterns_that_backtrack_are_not(pattern: Any) -> None:
    assert not is_harmless(pattern)


@pytest.mark.parametrize("shape", [[0, 2**61], [2**61, 0], [0, 2**31, 2**31]])
def test_empty_arrays_of_an_impossible_shape(tmp_path: Path, shape: list[int]) -> None:
    header, body = parts_of(model_files()["classifier"])
    header["x"] = {"dtype": "F64", "shape": shape, "data_offsets": [len(body), len(body)]}
    (tmp_path / "m").write_bytes(signed(header, body))
    with pytest.raises(ModelFileError, match="shape that does not fit"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("key", "value"), [("fill", 1.7e308), ("scale", 0.0), ("scale", 5e-324), ("mean", 10**400)]
)
def test_numbers_of_a_table_out_of_range(tmp_path: Path, key: str, value: Any) -> None:
    header, body = parts_of(model_files()["table"])
    record = json.loads(header["__metadata__"]["record"])
    columns = record["model"]["preprocessing"]["columns"]
    column = next(column for column in columns if column["kind"] == "number")
    column |= {"scale": 0.1, key: value}
    header["__metadata__"]["record"] = json.dumps(record)
    (tmp_path / "m").write_bytes(signed(header, body))
    with pytest.raises(ModelFileError):
        load(tmp_path / "m")


def test_classes_that_are_said_to_be_numbers_and_are_none(tmp_path: Path) -> None:
    header, body = parts_of(model_files()["table"])
    record = json.loads(header["__metadata__"]["record"])
    record["model"]["preprocessing"]["target"]["numeric"] = True
    header["__metadata__"]["record"] = json.dumps(record)
    (tmp_path / "m").write_bytes(signed(header, body))
    with pytest.raises(ModelFileError, match="is no number"):
        load(tmp_path / "m")


@pytest.mark.parametrize("fault", ["pos", "negative pos", "theta", "factor", "nested", "key"])
def test_hostile_checkpoints_are_refused(tmp_path: Path, fault: str) -> None:
    with unconverged():
        trained(TRAININGS[0], tmp_path / "c", 2, compiled=False)
    *older, file = sorted((tmp_path / "c").glob("*.safetensors"))
    for one in older:  # the best; it would take the place of a damaged one
        one.unlink()
    header, body = parts_of(file.read_bytes())
    held, text = bytearray(body), header["__metadata__"]["record"]
    if fault == "theta":
        name = next(n for n in header if n.startswith(("best.theta", "state.theta")))
        start = header[name]["data_offsets"][0]
        held[start : start + 8] = np.array(np.nan).tobytes()
    new = {
        "pos": re.sub(r'\["pos",\d+\]', '["pos",1000000]', text),
        "negative pos": re.sub(r'\["pos",\d+\]', '["pos",-1000000000]', text),
        "factor": text.replace('["factor",1.0]', '["factor",0]'),
        "nested": text.replace('["factor",1.0]', f'["factor",{"[" * 900 + "]" * 900}]'),
        "key": text.replace('["factor",1.0]', "[[],1.0]"),
    }.get(fault, text)
    assert (new != text) == (fault != "theta")
    header["__metadata__"]["record"] = new
    file.write_bytes(signed(header, bytes(held)))
    with pytest.raises(CheckpointError):
        trained(TRAININGS[0], tmp_path / "c", 3, compiled=False)
