"""Pipelines in model files: equal to the bit, only listed classes, no code."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import compose, decomposition, feature_extraction, feature_selection, impute
from sklearn import preprocessing as scaling
from sklearn.feature_extraction import text
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from deltarule import MLPClassifier, MLPRegressor, load, save
from deltarule.errors import MissingDependencyError, ModelFileError
from deltarule.storage import read_model_record, write_model_record
from support.estimators import unconverged
from support.faults import report
from support.storage import Archive

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(60, 4))
LABELS = np.where(ROWS[:, 0] > 0, "yes", "no")
FRAME = pd.DataFrame(ROWS, columns=list("abcd")).assign(e=rng.choice(["x", "y", "z"], 60))
TEXTS = ["the cat sat", "a dog ran", "the dog sat down", "cat and dog"] * 15
DICTS = [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}] * 30


def classifier(**arguments: Any) -> MLPClassifier:
    return MLPClassifier((4,), max_iter=3, random_state=0, **arguments)


def columns() -> Any:
    numbers = make_pipeline(impute.SimpleImputer(), scaling.StandardScaler())
    categories = scaling.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=3)
    return compose.ColumnTransformer(
        [("numbers", numbers, ["a", "b"]), ("categories", categories, ["e"])],
        remainder="passthrough",
    )


def selected() -> Any:
    numbers = compose.make_column_selector(dtype_include=np.number)
    parts = [("n", scaling.StandardScaler(), numbers), ("o", scaling.OrdinalEncoder(), ["e"])]
    return compose.ColumnTransformer(parts).set_output(transform="pandas")


STEPS: dict[str, tuple[Callable[[], Any], Any]] = {
    "scaler": (scaling.StandardScaler, ROWS),
    "min max": (scaling.MinMaxScaler, ROWS),
    "max abs": (scaling.MaxAbsScaler, ROWS),
    "robust": (scaling.RobustScaler, ROWS),
    "quantiles": (lambda: scaling.QuantileTransformer(n_quantiles=10), ROWS),
    "power": (scaling.PowerTransformer, ROWS),
    "normalizer": (scaling.Normalizer, ROWS),
    "binarizer": (scaling.Binarizer, ROWS),
    "polynomial": (scaling.PolynomialFeatures, ROWS),
    "bins": (
        lambda: scaling.KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
        ROWS,
    ),
    "target": (lambda: scaling.TargetEncoder(cv=2), FRAME[["e"]]),
    "impute": (impute.SimpleImputer, ROWS),
    "neighbours": (impute.KNNImputer, ROWS),
    "indicator": (lambda: impute.MissingIndicator(features="all"), ROWS),
    "identity": (scaling.FunctionTransformer, ROWS),
    "pca": (lambda: decomposition.PCA(2, random_state=np.random.RandomState(1)), ROWS),
    "incremental": (lambda: decomposition.IncrementalPCA(2), ROWS),
    "kernel": (lambda: decomposition.KernelPCA(2, kernel="rbf"), ROWS),
    "svd": (decomposition.TruncatedSVD, ROWS),
    "factors": (lambda: decomposition.FactorAnalysis(2), ROWS),
    "ica": (lambda: decomposition.FastICA(2, random_state=0), ROWS),
    "nmf": (lambda: decomposition.NMF(2, max_iter=500), abs(ROWS)),
    "topics": (lambda: decomposition.LatentDirichletAllocation(2, max_iter=2), abs(ROWS)),
    "best": (lambda: feature_selection.SelectKBest(k=2), ROWS),
    "chi2": (lambda: feature_selection.SelectKBest(feature_selection.chi2, k=2), abs(ROWS)),
    "variance": (feature_selection.VarianceThreshold, ROWS),
    "counts": (lambda: text.CountVectorizer(ngram_range=(1, 2)), TEXTS),
    "tf-idf": (text.TfidfVectorizer, TEXTS),
    "hashes": (lambda: text.HashingVectorizer(n_features=16), TEXTS),
    "dicts": (feature_extraction.DictVectorizer, DICTS),
    "columns": (columns, FRAME),
    "columns chosen by type": (selected, FRAME),
    "columns by slice": (
        lambda: compose.ColumnTransformer(
            [
                ("s", scaling.StandardScaler(), slice(0, 2)),
                ("m", scaling.MinMaxScaler(), [True, False, False, True]),
            ]
        ),
        ROWS,
    ),
    "union": (
        lambda: FeatureUnion([("p", decomposition.PCA(2)), ("s", scaling.StandardScaler())]),
        ROWS,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_loaded_pipelines_are_equal_to_the_bit(tmp_path: Path, name: str) -> None:
    """To a pickled copy: a copy has its arrays in other places, by which BLAS may round."""
    make, X = STEPS[name]
    with unconverged():
        model = make_pipeline(make(), classifier()).fit(X, LABELS)
    again = load(save(model, tmp_path / "m"))
    assert type(again) is Pipeline
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), copied.predict_proba(X))
    assert_array_equal(again.predict(X), model.predict(X))
    assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    save(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_networks_inside_other_estimators_fitted_or_not(tmp_path: Path) -> None:
    y = 3 + 10 * ROWS[:, 0]
    inner = make_pipeline(
        scaling.StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=3)
    )
    model = compose.TransformedTargetRegressor(inner, transformer=scaling.StandardScaler())
    with unconverged():
        model.fit(ROWS, y)
        again = load(save(model, tmp_path / "m"))
        assert_array_equal(again.predict(ROWS), model.predict(ROWS))
        assert not hasattr(again.regressor[-1], "coefs_")
        assert again.regressor[-1].get_params()["max_iter"] == 3
        again.fit(ROWS, y)


def test_a_network_used_twice_stays_one_object(tmp_path: Path) -> None:
    with unconverged():
        network = classifier().fit(ROWS, LABELS)
    chooser = feature_selection.SelectFromModel(
        network, prefit=True, importance_getter="n_features_in_"
    )
    model = Pipeline([("choose", chooser), ("network", network)])
    again = load(save(model, tmp_path / "m"))
    assert again["choose"].estimator is again["network"]


def fitted(*steps: Any) -> Pipeline:
    with unconverged():
        return make_pipeline(*steps, classifier()).fit(ROWS, LABELS)


def test_the_networks_tensors_are_readable(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = fitted(scaling.StandardScaler())
    tensors = load_file(save(model, tmp_path / "m"))
    assert_array_equal(tensors["0.W1"], model[-1].coefs_[0])
    assert tensors["skops"].dtype == np.uint8


# --- what is refused at save ---------------------------------------------------------------------


def shift(X: Any) -> Any:
    return X + 1


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: fitted(scaling.FunctionTransformer(shift)), r"\.func=<function shift"),
    "lambda": (
        lambda: fitted(scaling.FunctionTransformer(lambda X: X)),
        r"Pipeline\.steps\['functiontransformer'\]\[1\]\.func=.*contains no code",
    ),
    "ufunc": (lambda: fitted(scaling.FunctionTransformer(np.square)), r"func=<ufunc 'square'>"),
    "kernel": (
        lambda: fitted(decomposition.KernelPCA(2, kernel=lambda a, b: a @ b)),
        r"\.kernel=.*contains no code",
    ),
    "other estimator": (
        lambda: fitted(feature_selection.SelectFromModel(LogisticRegression())),
        r"\.estimator=LogisticRegression\(\).*not one of the classes",
    ),
    "own class": (
        lambda: fitted(type("Mine", (scaling.StandardScaler,), {})()),
        r"\['mine'\]\[1\]=Mine\(\).*not one of the classes",
    ),
    "whole other estimator": (
        lambda: LogisticRegression().fit(ROWS, LABELS),
        "not one of the class",
    ),
    "function inside the network": (
        lambda: make_pipeline(fitted()[-1].set_params(monitor=shift)),
        "monitor=<function shift",
    ),
    "unfitted": (lambda: make_pipeline(scaling.StandardScaler(), classifier()), "not fitted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_objects_that_are_not_on_the_list_are_refused_by_name(tmp_path: Path, name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ModelFileError, match=message):
        save(make(), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_odd_values_are_refused_by_name(tmp_path: Path) -> None:
    model = fitted(scaling.FunctionTransformer())
    for odd, message in (
        ({"a": 1j}, r"kw_args\['a'\]=1j"),
        ({True: 1}, r"a key of .*\.kw_args=True"),
        ({"a": np.array(["2020-01-01"], "datetime64[D]")}, r"kw_args\['a'\]=array"),
        ({"a": b"bytes"}, r"kw_args\['a'\]=b'bytes'"),
        ({"a": frozenset("ab")}, r"kw_args\['a'\]=frozenset"),
        ({"a": print}, r"kw_args\['a'\]=<built-in function print>.*no code"),
        ({"a": os}, r"kw_args\['a'\]=<module"),
    ):
        model[0].kw_args = odd
        with pytest.raises(ModelFileError, match=message):
            save(model, tmp_path / "m")
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    model[0].kw_args = {"a": deep}
    with pytest.raises(ModelFileError, match="levels deep"):
        save(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_of_pickles_is_refused(tmp_path: Path) -> None:
    model = fitted(scaling.StandardScaler()).set_params(memory=str(tmp_path / "cache"))
    with pytest.raises(ModelFileError, match=r"Pipeline\.memory=.*cache is not part of a model"):
        save(model, tmp_path / "m")


def test_without_skops_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted(scaling.StandardScaler())
    path = save(model, tmp_path / "m")
    monkeypatch.setitem(sys.modules, "skops.io", None)
    for act in (lambda: save(model, tmp_path / "n"), lambda: load(path)):
        with pytest.raises(MissingDependencyError, match=r"pip install \"deltarule\[pipelines\]\""):
            act()


# --- what is refused at load ---------------------------------------------------------------------


def load_bytes(folder: Path, data: bytes) -> Any:
    (folder / "forged").write_bytes(data)
    return load(folder / "forged")


def nodes(tree: Any) -> list[dict[str, Any]]:
    found = []
    if isinstance(tree, dict):
        found += [tree] if "__loader__" in tree else []
        found += [node for child in tree.values() for node in nodes(child)]
    elif isinstance(tree, list):
        found += [node for child in tree for node in nodes(child)]
    return found


def object_node(name: str, content: Any = None) -> dict[str, Any]:
    module, _, kind = name.rpartition(".")
    empty = {"__module__": "builtins", "__loader__": "DictNode", "content": {}}
    keys = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": []}
    held = {"__class__": "dict", "__id__": 9001, "key_types": keys | {"__id__": 9002}} | empty
    return {
        "__class__": kind, "__module__": module, "__loader__": "ObjectNode", "__id__": 9000,
        "content": content or held,
    }  # fmt: skip


def marker_module(folder: Path) -> str:
    (folder / "evil.py").write_text("open('marker', 'w').close()\ndef run(*a): return 1\n")
    return "evil"


ATTACKS: dict[str, dict[str, Any]] = {
    "a module that runs code": object_node("evil.run"),
    "os.system": {
        "__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 9000,
    },
    "builtin eval as a type": {
        "__class__": "eval", "__module__": "builtins", "__loader__": "TypeNode", "__id__": 9000,
    },
    "scikit-learn class off the list": object_node("sklearn.tree._classes.DecisionTreeClassifier"),
    "loader off the list": object_node("sklearn.preprocessing._data.StandardScaler")
    | {"__loader__": "MethodNode"},
    "constructor call": object_node("sklearn.pipeline.Pipeline")
    | {"__loader__": "ConstructorFromReduceNode"},
    "operator": {
        "__class__": "methodcaller", "__module__": "operator", "__loader__": "OperatorFuncNode",
        "__id__": 9000, "attrs": [],
    },
    "partial": object_node("functools.partial") | {"__loader__": "PartialNode"},
    "unknown entry": object_node("sklearn.pipeline.Pipeline") | {"__reduce__": []},
    "second network": object_node("deltarule.persistence.allowlist.Placeholder"),
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(fitted(scaling.StandardScaler()), tmp_path / "m")


@pytest.mark.parametrize("name", ATTACKS)
def test_only_listed_classes_are_imported_or_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path, name: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    marker_module(tmp_path)
    archive = Archive.of(file.read_bytes())
    tree, arrays = archive.tree, archive.arrays
    state = next(node for node in nodes(tree) if node["__class__"] == "StandardScaler")
    values = state["content"]["content"]
    values[sorted(values)[0]] = ATTACKS[name]
    with pytest.raises(ModelFileError, match="not a usable model file") as caught:
        load_bytes(tmp_path, archive.file(tree, arrays))
    assert "\n" not in str(caught.value)
    assert "evil" not in sys.modules
    assert not (tmp_path / "marker").exists()
    report("attacks", attacks=1)


def npy(shape: str, data: bytes = b"", dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "array",
    [
        npy("(4611686018427387904, 4)"), npy("(1000000000,)"), npy("(-1, -4)", bytes(32)),
        npy("(4,)", bytes(31)), npy("(4,)", bytes(33)), npy("(4,)", bytes(32), "|O"),
        npy("(1,) * 10**9"), b"\x93NUMPY\x03\x00", b"", b"\x80\x04.",
    ],
)  # fmt: skip
def test_forged_arrays_are_refused(tmp_path: Path, file: Path, array: bytes) -> None:
    archive = Archive.of(file.read_bytes())
    tree, arrays = archive.tree, archive.arrays
    name = sorted(arrays)[0]
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, archive.file(tree, arrays | {name: array}))


def test_archives_with_other_members_are_refused(tmp_path: Path, file: Path) -> None:
    archive = Archive.of(file.read_bytes())
    tree, arrays = archive.tree, archive.arrays
    assert load_bytes(tmp_path, archive.file(tree, arrays))
    for odd in ({"evil.py": b"import os"}, {"../9.npy": b""}):
        with pytest.raises(ModelFileError, match="not the ones that its tree names"):
            load_bytes(tmp_path, archive.file(tree, arrays | odd))
    bomb = {"0.npy": bytes(10**6)}
    with pytest.raises(ModelFileError, match="compressed"):
        load_bytes(tmp_path, archive.file(tree, arrays | bomb, zipfile.ZIP_DEFLATED))
    contents = read_model_record(file)
    for tensors in (
        {"skops": np.zeros(3, np.uint8)}, {"skops": np.zeros((2, 2), np.uint8)},
        {"skops": np.zeros(3)}, {"7.W1": np.zeros(3)}, {"W1": np.zeros(3)},
    ):  # fmt: skip
        odd = contents._replace(tensors=contents.tensors | tensors)
        with pytest.raises(ModelFileError):
            load(write_model_record(odd, tmp_path / "forged", overwrite=True))


def test_arguments_outside_their_domain_are_refused(tmp_path: Path) -> None:
    model = make_pipeline(text.HashingVectorizer(n_features=16), classifier())
    with unconverged():
        path = save(model.fit(TEXTS, LABELS), tmp_path / "m")
    archive = Archive.of(path.read_bytes())
    tree, arrays = archive.tree, archive.arrays
    node = next(node for node in nodes(tree) if node.get("content") == "16")
    node["content"] = "0"
    with pytest.raises(ModelFileError, match="n_features"):
        load_bytes(tmp_path, archive.file(tree, arrays))
