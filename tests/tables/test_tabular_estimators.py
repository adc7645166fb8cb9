"""The estimators of tables follow scikit-learn's conventions, and refuse by name."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from deltarule import TabularClassifier, TabularRegressor, load, plot_learning_curve, save
from deltarule.datasets import penguins_path
from deltarule.errors import ModelFileError, OutputError, SpecError, TableError
from deltarule.tables import Plan, open_source, prepare, read_table
from deltarule.tables.tabular.python_words import in_python
from support.paths import ROOT

QUICK: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 2}
PENGUINS = pd.read_csv(penguins_path())
X, Y = PENGUINS.drop(columns="species"), PENGUINS["species"]
DATED = X.assign(flag=X["year"] > 2008, day=pd.date_range("2020-01-01", periods=len(X)))
WEIGHED = X.dropna(subset="body_mass_g")


def quiet(estimator: Any, *rows: Any, **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two epochs are too few
        return estimator.fit(*rows, **more)


@pytest.fixture(scope="module")
def model() -> TabularClassifier:
    fitted: TabularClassifier = quiet(TabularClassifier(**QUICK), X, Y)
    return fitted


@pytest.fixture(scope="module")
def dated() -> TabularClassifier:
    fitted: TabularClassifier = quiet(TabularClassifier(**QUICK), DATED, Y)
    return fitted


@pytest.fixture(scope="module")
def regressor() -> TabularRegressor:
    fitted: TabularRegressor = quiet(
        TabularRegressor(**QUICK), WEIGHED.drop(columns="body_mass_g"), WEIGHED["body_mass_g"]
    )
    return fitted


# --- scikit-learn's own checks -------------------------------------------------------------------

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "the split depends on the number of rows"
}


@pytest.mark.long
@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_scikit_learns_checks_of_arrays_pass(kind: Any) -> None:
    failed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for estimator, check in estimator_checks_generator(kind((8,), max_iter=30)):
            name = check.func.__name__
            try:
                check(estimator)
            except AssertionError as error:
                failed.append((name, error))
    assert {name for name, _ in failed} <= set(EXPECTED), failed


def test_tags(model: TabularClassifier, regressor: TabularRegressor) -> None:
    assert is_classifier(model)
    assert is_regressor(regressor)
    for estimator in (model, regressor):
        tags = estimator.__sklearn_tags__()
        assert tags.input_tags.allow_nan
        assert tags.input_tags.categorical
        assert tags.input_tags.string
        assert not tags.input_tags.sparse
        assert tags.target_tags.required


def test_names_and_curves(model: TabularClassifier) -> None:
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    assert model.n_features_in_ == X.shape[1]
    assert model.classes_.tolist() == sorted(set(Y))
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_loss_curve_) == 2
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.understanding_.columns["island"].kind == "category"
    assert not hasattr(TabularClassifier(), "n_iter_")


def test_scores_are_scikit_learns(model: TabularClassifier, regressor: TabularRegressor) -> None:
    weight = np.random.default_rng(0).random(len(X))
    said, P = model.predict(X), model.predict_proba(X)
    assert model.score(X, Y) == accuracy_score(Y, said)
    assert model.score(X, Y, weight) == pytest.approx(accuracy_score(Y, said, sample_weight=weight))
    assert_array_equal(said, model.classes_[P.argmax(axis=1)])
    assert_allclose(P.sum(axis=1), 1)
    assert_allclose(np.exp(model.predict_log_proba(X)), P, rtol=1e-12)
    table = read_table(penguins_path())  # `deltarule evaluate` says the same
    evaluation = model.model_.evaluate(table)
    assert evaluation.y_pred.tolist() == said.tolist()
    assert np.isfinite(log_loss(Y, P, labels=model.classes_))
    y = WEIGHED["body_mass_g"]
    assert regressor.score(WEIGHED, y) == pytest.approx(r2_score(y, regressor.predict(WEIGHED)))


def test_searches_copies_and_pickles(model: TabularClassifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(cross_val_score(TabularClassifier(**QUICK), X, Y, cv=2)) == 2
        search = GridSearchCV(
            TabularClassifier(**QUICK), {"alpha": [0.1, 1.0], "ignore": [None, ["year"]]}, cv=2
        ).fit(X, Y)
        pipe = make_pipeline(FunctionTransformer(lambda frame: frame.drop(columns="year")),
                             TabularClassifier(**QUICK)).fit(X, Y)  # fmt: skip
    assert set(search.best_params_) == {"alpha", "ignore"}
    assert pipe[-1].n_features_in_ == X.shape[1] - 1
    assert pipe.score(X, Y) == pipe[-1].score(X, Y)
    expected = model.predict_proba(X)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert_array_equal(again.predict_proba(X), expected)
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert not hasattr(other, "model_")
    assert_array_equal(quiet(other, X, Y).predict_proba(X), expected)


def test_inspections(model: TabularClassifier, regressor: TabularRegressor) -> None:
    mpl.use("Agg")
    found = permutation_importance(model, X, Y, n_repeats=2, random_state=0)
    assert found.importances_mean.shape == (X.shape[1],)
    filled = X.dropna()
    shown = PartialDependenceDisplay.from_estimator(
        model, filled, ["bill_length_mm", "island"], categorical_features=["island"],
        target="Gentoo", grid_resolution=4,
    )  # fmt: skip
    assert len(shown.pd_results) == 2
    PartialDependenceDisplay.from_estimator(
        regressor, filled.drop(columns="body_mass_g"), ["flipper_length_mm"], grid_resolution=4
    )


def test_metadata_is_routed_as_in_scikit_learn() -> None:
    weight = np.random.default_rng(0).integers(1, 3, len(X)).astype(float)
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = (
            TabularClassifier(**QUICK)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        weighted = cross_val_score(estimator, X, Y, cv=2, params={"sample_weight": weight})
        pipe = make_pipeline(estimator).fit(X, Y, sample_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = cross_val_score(TabularClassifier(**QUICK), X, Y, cv=2)
    assert not np.array_equal(weighted, plain)
    expected = quiet(TabularClassifier(**QUICK), X, Y, sample_weight=weight)
    assert_array_equal(pipe.predict_proba(X), expected.predict_proba(X))


def test_weights() -> None:
    ones = quiet(TabularClassifier(**QUICK), X, Y, np.full(len(X), 1.0)).predict_proba(X)
    assert_allclose(ones, quiet(TabularClassifier(**QUICK), X, Y).predict_proba(X), rtol=1e-9)
    weight = (np.arange(len(X)) % 3 > 0) * 2.0  # a row of weight 0 is left out
    rest = weight > 0
    left = quiet(TabularClassifier(**QUICK), X[rest], Y[rest], weight[rest])
    both = quiet(TabularClassifier(**QUICK), X, Y, weight)
    assert_array_equal(both.predict_proba(X), left.predict_proba(X))
    for scale in (1e-320, 1e-50, 64.0, 1e39, 1e308):  # of an ensemble only their ratios count
        pair = TabularClassifier(max_iter=2, random_state=0, ensemble=2)
        scaled = quiet(pair, X, Y, np.full(len(X), scale)).predict_proba(X)
        assert_allclose(scaled, quiet(pair, X, Y).predict_proba(X), rtol=1e-5)
        if not 1e-30 < scale < 1e30:
            with pytest.raises(TableError, match=r"sample_weight goes up to .* leave alpha out"):
                pair.set_params(alpha=0.1).fit(X, Y, np.full(len(X), scale))
    for wrong in (-weight, weight * 0, np.ones(3), np.full(len(X), np.nan)):
        with pytest.raises(ValueError, match="sample_weight"):
            both.score(X, Y, wrong)
    heavy = np.where(Y == "Gentoo", 50.0, 1.0)
    many = quiet(TabularClassifier((8,), max_iter=20), X, Y, heavy).predict(X)
    few = quiet(TabularClassifier((8,), max_iter=20), X, Y, 1 / heavy).predict(X)
    assert (many == "Gentoo").sum() > (few == "Gentoo").sum()
    for wrong in (np.ones(3), -weight, np.full(len(X), np.nan), np.ones((len(X), 2)), weight * 0):
        with pytest.raises(TableError, match="sample_weight"):
            TabularClassifier(**QUICK).fit(X, Y, wrong)


def test_the_networks_inputs_have_names(model: TabularClassifier) -> None:
    names = model.get_feature_names_out()
    Z = model.transform(X)
    assert Z.shape == (len(X), len(names))
    sex = list(names).index("sex_female")
    assert_array_equal(Z[:, sex], X["sex"] == "female")
    assert_array_equal(Z[:, list(names).index("sex_missing")], X["sex"].isna())
    mass = list(names).index("body_mass_g")
    there = X["body_mass_g"].notna()
    assert np.corrcoef(Z[there, mass], X["body_mass_g"][there])[0, 1] > 0.999
    frame = copy.copy(model).set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == names.tolist()
    assert frame.index.equals(X.index)
    dated = X.assign(day=pd.date_range("2020-01-01", periods=len(X)))
    fitted = quiet(TabularClassifier(**QUICK), dated, Y)
    assert "day_elapsed" in fitted.get_feature_names_out()
    assert fitted.transform(dated).shape[1] == len(fitted.get_feature_names_out())
    with pytest.raises(ValueError, match="input_features"):
        model.get_feature_names_out(["a"])


# --- files ---------------------------------------------------------------------------------------


def test_files_hold_the_whole_estimator(model: TabularClassifier, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "ignore": ("year",), "missing": ("?",), "day_first": True, "unseen": "error",
        "dropout": 0.2, "batch_size": 32, "validation_fraction": 0.2, "random_state": 3,
        "checkpoint": tmp_path / "c",
    }  # fmt: skip
    for kind, y in ((TabularClassifier, Y), (TabularRegressor, X["flipper_length_mm"].fillna(0.0))):
        fitted = quiet(kind(**QUICK | arguments), X.drop(columns="flipper_length_mm"), y)
        path = save(fitted, tmp_path / kind.__name__)
        again = load(path)
        assert type(again) is kind
        assert again.get_params() == fitted.get_params() | {"checkpoint": None}
        assert_array_equal(again.predict(X), fitted.predict(X))
        assert again.feature_names_in_.tolist() == fitted.feature_names_in_.tolist()
        assert path.read_bytes() == again.save(tmp_path / "again", overwrite=True).read_bytes()
        check_is_fitted(again)
        with pytest.raises(OutputError):
            again.save(path)
        arguments["checkpoint"] = None
    with pytest.raises(ModelFileError, match="not fitted"):
        TabularClassifier().save(tmp_path / "x")
    # What training leaves behind is the model of a file: predictions do not change by saving.
    assert_array_equal(load(model.save(tmp_path / "m")).predict_proba(X), model.predict_proba(X))


def test_pipelines_in_files(tmp_path: Path) -> None:
    Z = X[["bill_length_mm", "body_mass_g"]]
    pipe = quiet(make_pipeline(FunctionTransformer(), TabularClassifier(**QUICK)), Z, Y)
    again = load(save(pipe, tmp_path / "p"))
    assert type(again[-1]) is TabularClassifier
    assert_array_equal(again.predict_proba(Z), pipe.predict_proba(Z))


def test_onnx(model: TabularClassifier) -> None:
    session = onnxruntime.InferenceSession(model.to_onnx(dtype="float64").SerializeToString())
    given = {}
    for value in session.get_inputs():
        column = X[value.name]
        if "string" in value.type:
            cells = column.fillna("").to_numpy(dtype=object)
        else:
            cells = column.to_numpy(dtype=np.float64)
        given[value.name] = cells[:, None]
    label, probabilities = session.run(None, given)
    assert_allclose(probabilities, model.predict_proba(X), rtol=1e-9)
    assert label.tolist() == model.predict(X).tolist()


# --- arrays and sources --------------------------------------------------------------------------


def test_arrays_are_taken_by_position(model: TabularClassifier) -> None:
    A = np.random.default_rng(0).normal(size=(40, 3))
    y = A[:, 0] > 0
    fitted = quiet(TabularClassifier(**QUICK), A, y)
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.model_.interface.columns == ["x0", "x1", "x2"]
    for same in (A.tolist(), A.astype(object), np.asfortranarray(A), A.astype(">f8")):
        assert_array_equal(fitted.predict_proba(same), fitted.predict_proba(A))
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        fitted.predict(pd.DataFrame(A, columns=["a", "b", "c"]))
    with pytest.raises(TableError, match="X has 2 features, but TabularClassifier is expecting 3"):
        fitted.predict(A[:, :2])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        said = model.predict_proba(X.to_numpy())
    assert_array_equal(said, model.predict_proba(X))
    assert fitted.predict(A[:0]).shape == (0,)
    assert fitted.predict_proba(A[:0]).shape == fitted.predict_log_proba(A[:0]).shape == (0, 2)


def test_sources_are_fitted_and_predicted(model: TabularClassifier) -> None:
    whole = quiet(TabularClassifier(**QUICK), read_table(penguins_path()), "species")
    assert_array_equal(whole.predict_proba(X), model.predict_proba(X))
    streamed = quiet(TabularClassifier(**QUICK), open_source(penguins_path()), "species")
    assert_array_equal(
        streamed.predict_proba(open_source(penguins_path())), streamed.predict_proba(X)
    )
    with pytest.raises(TableError, match="did you mean 'species'"):
        TabularClassifier(**QUICK).fit(open_source(penguins_path()), "specie")
    with pytest.raises(TableError, match="must be the name of the target's column"):
        TabularClassifier(**QUICK).fit(open_source(penguins_path()), Y)
    prepared = prepare(read_table(penguins_path()), Plan("species"))
    with pytest.raises(SpecError, match="use TabularClassifier"):
        TabularRegressor().fit_prepared(prepared)


class Recorder:
    """A callback that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.calls.append("begin")

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        self.calls.append("end")
        return False

    def teardown(self, estimator: Any, context: Any) -> None:
        self.calls.append("teardown")


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_patterns_do_not_mean_the_target(kind: Any) -> None:
    y = X["year"]
    rows = X.drop(columns="year")
    named = quiet(kind(**QUICK, ignore=["*e*"]), rows, y)
    plain = quiet(kind(**QUICK, ignore=[name for name in rows if "e" in name]), rows, y)
    assert_array_equal(named.predict(X), plain.predict(X))
    every = quiet(kind(**QUICK, categories=["*"]), rows, y)
    assert every.predict(rows).dtype.kind in "if"
    with pytest.raises(TableError, match="the target 'year' is given in ignore"):
        kind(**QUICK, ignore=["year"]).fit(rows, y)


def test_a_folder_of_checkpoints_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = quiet(TabularClassifier((4,), max_iter=4), X, Y)
    for epochs in (2, 4):
        part = TabularClassifier((4,), max_iter=epochs, checkpoint=tmp_path / "c")
        quiet(part, X, Y)
    assert_array_equal(part.predict_proba(X), whole.predict_proba(X))
    plot_learning_curve(part)


def test_callbacks_are_called_once_per_epoch() -> None:
    recorder = Recorder()
    quiet(TabularClassifier(**QUICK).set_callbacks(recorder), X, Y)
    assert recorder.calls.count("setup") == recorder.calls.count("teardown") == 1
    assert recorder.calls.count("end") == 3  # two epochs and the fit


def test_marks_for_missing_cells_are_no_classes() -> None:
    y = Y.replace("Gentoo", "unknown")
    fitted = quiet(TabularClassifier(**QUICK, missing=["unknown"]), X, y)
    assert fitted.classes_.tolist() == ["Adelie", "Chinstrap"]
    assert "124 rows without a target were left out" in fitted.notes_


def test_a_seed_is_a_seed(model: TabularClassifier) -> None:
    expected = model.predict_proba(X)
    for seed in (np.int64(0), 0):
        again = quiet(TabularClassifier(**QUICK, random_state=seed), X, Y)
        assert_array_equal(again.predict_proba(X), expected)
    drawn = [
        quiet(TabularClassifier(**QUICK, random_state=np.random.RandomState(1)), X, Y)
        for _ in range(2)
    ]
    assert_array_equal(drawn[0].predict_proba(X), drawn[1].predict_proba(X))
    assert drawn[0].model_.provenance.seed != 0
    assert drawn[0].model_.interface.arguments.random_state is None


# --- refusals ------------------------------------------------------------------------------------

BAD_FITS: dict[str, tuple[Any, Any, str]] = {
    "two of one name": (pd.concat([X, X[["sex"]]], axis=1), Y, "more than one column named 'sex'"),
    "lists": (X.assign(a=[[1, 2]] * len(X)), Y, "column 'a' holds 'list<"),
    "dicts": (X.assign(a=[{"b": 1}] * len(X)), Y, "column 'a' holds 'struct<"),
    "sets": (X.assign(a=[{1}] * len(X)), Y, "column 'a' holds"),
    "objects": (X.assign(a=[object()] * len(X)), Y, "column 'a' holds"),
    "bytes": (X.assign(a=b"b"), Y, "column 'a' holds 'binary'"),
    "structs of Arrow": (
        pa.table({"a": pa.array([{"b": 1}] * 9)}), [1, 2, 1] * 3, "column 'a' holds 'struct<"
    ),
    "durations": (
        X.assign(a=pd.to_timedelta(range(len(X)))), Y, "column 'a' holds 'duration"
    ),
    "complex": (np.ones((9, 2)) * 1j, np.arange(9) % 2, "Complex data not supported"),
    "sparse": (csr_array(np.eye(9)), np.arange(9) % 2, "sparse"),
    "lengths": (X, Y[:-1], "same number of rows; got 344 and 343"),
    "no target": (X, None, "the target y is None"),
    "missing target": (X, Y.where(Y != "Gentoo"), r"Input y contains NaN: 124 .* row 152"),
    "a target that means missing": (X, Y.replace("Gentoo", "NA"), "'NA', which means a missing"),
    "the target in X": (PENGUINS, Y, r"X.drop\(columns='species'\)"),
    "two targets": (X, PENGUINS[["species", "sex"]], "y must be one column; got 2"),
    "dates as target": (X, pd.date_range("2020", periods=len(X)), "y holds dates"),
    "mixed targets": (X, [1, "a"] * 172, "y must be of one type"),
    "fractions as classes": (X, np.linspace(0, 1, len(X)), "Unknown label type: continuous"),
    "one class": (X, ["a"] * len(X), "is 'a' in every row"),
    "one dimension": (np.arange(9.0), np.arange(9) % 2, "Expected 2D array"),
    "no rows": (X[:0], Y[:0], r"0 sample\(s\)"),
    "a file": ("penguins.csv", Y, "read_table"),
    "records": (X.to_dict("records"), Y, "pandas.DataFrame"),
    "mostly numbers": (
        X.assign(a=[1, 2, "x", 3] * 86), Y, r"missing=\['x'\].*categories=\['a'\].*ignore=\['a'\]"
    ),
    "either notation": (X.assign(a=["8,300", 5] * 172), Y, "Say decimal='.' or decimal=','"),
    "a Series": (X["sex"], Y, "Expected 2D array, got 1D array instead: X is a Series"),
    "a scalar": ({"a": 1}, [1], "column 'a' is a single int"),
    "half a pair": (
        X.assign(a=pd.Series(["\ud800", "b"] * 172, dtype=object)), Y, "'a' holds invalid Unicode"
    ),
    "half a pair in a name": (
        {"\ud800": [1, 2, 3] * 3}, [1, 2, 3] * 3, "the column name '.ud800' is no valid Unicode"
    ),
    "infinity": (X.assign(a=np.inf), Y, "'inf' is not a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_FITS)
def test_bad_tables_are_refused_by_name(what: str) -> None:
    rows, y, message = BAD_FITS[what]
    with pytest.raises(TableError, match=message) as refused:
        TabularClassifier(**QUICK).fit(rows, y)
    assert "--" not in str(refused.value)


REMEDIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "missing": (X.assign(a=[1, 2, "x", 3] * 86), {"missing": ["x"]}),
    "category": (X.assign(a=[1, 2, "x", 3] * 86), {"categories": ["a"]}),
    "ignore": (X.assign(a=[[1]] * len(X)), {"ignore": "a"}),
    "decimal": (X.assign(a=["8,300", 5] * 172), {"decimal": ","}),
    "order": (
        X.assign(a=["04/06/2022", None] * 172), {"dates": ["a"], "day_first": True}
    ),
    "number": (X.assign(a=["1,5", "2,5"] * 172), {"numbers": "a", "decimal": ","}),
}  # fmt: skip


@pytest.mark.parametrize("what", REMEDIES)
def test_remedies_work(what: str) -> None:
    rows, remedy = REMEDIES[what]
    fitted = quiet(TabularClassifier(**QUICK, **remedy), rows, Y)
    assert fitted.predict(rows).shape == (len(rows),)


BAD_ROWS: dict[str, tuple[Any, str]] = {
    "missing column": (lambda f: f.drop(columns="sex"), "lacks 1 of the 9 columns .*'sex'"),
    "numbers as texts": (
        lambda f: f.assign(year="2007 or so"),
        "'year': '2007 or so' is not a num",
    ),
    "numbers as dates": (lambda f: f.assign(year=pd.Timestamp("2020-01-01")), "'year'"),
    "numbers as booleans": (lambda f: f.assign(year=True), r"held numbers .* astype\('Float64'\)"),
    "booleans as numbers": (lambda f: f.assign(flag=1.0), r"held booleans .* astype\('boolean'\)"),
    "booleans as texts": (lambda f: f.assign(flag="yes"), "'flag': 'yes' is not true or false"),
    "dates as numbers": (lambda f: f.assign(day=1.5), "'day': '1.5' is not a date"),
    "dates as booleans": (lambda f: f.assign(day=True), "'day': 'true' is not a date"),
    "categories as numbers": (lambda f: f.assign(sex=1.5), "'sex' held categories"),
    "categories as dates": (lambda f: f.assign(sex=pd.Timestamp("2020")), "'sex' held categories"),
    "categories as booleans": (lambda f: f.assign(sex=False), "'sex' held categories"),
    "lists": (lambda f: f.assign(sex=[["male"]] * len(f)), "'sex' holds 'list"),
    "two of one name": (lambda f: pd.concat([f, f[["sex"]]], axis=1), "more than one column"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_rows_of_another_kind_are_refused_by_name(dated: TabularClassifier, what: str) -> None:
    change, message = BAD_ROWS[what]
    model, X = dated, DATED
    for method in (model.predict, model.predict_proba, model.predict_log_proba, model.transform):
        with pytest.raises(TableError, match=message):
            method(change(X))


MIXED: dict[str, list[Any]] = {
    "numbers": [1.5, "2.5", "?", "", 4, None, "7"],
    "booleans": [True, "false", None, "TRUE", False],
    "categories": ["a", 2, "2", None, "b"],
    "dates": ["2020-01-03", None, pd.Timestamp("2021-05-06"), "2022-07-08"],
}


@pytest.mark.parametrize("what", MIXED)
def test_rows_are_read_alike_whichever_come_together(what: str) -> None:
    values = pd.Series(np.resize(np.array(MIXED[what], dtype=object), 120))
    frame = pd.DataFrame({"m": values, "x": np.arange(120.0)})
    model = quiet(TabularClassifier(**QUICK), frame, np.resize(["p", "q", "q"], 120))
    expected = model.transform(frame)
    for count in (1, 2, 3):
        for first in range(len(MIXED[what])):
            rows = slice(first, first + count)
            assert_array_equal(model.transform(frame[rows]), expected[rows])


def test_remedies_for_columns_of_another_type_keep_missing_cells() -> None:
    frame = pd.DataFrame({"b": pd.Series([True, False, None] * 40, dtype=object)})
    frame["n"] = [1.0, 0.0, np.nan] * 40
    model = quiet(TabularClassifier(**QUICK), frame, ["p", "q", "q"] * 40)
    expected = model.transform(frame)
    numbers = frame.assign(b=[1.0, 0.0, np.nan] * 40)
    assert_array_equal(model.transform(numbers.astype({"b": "boolean"})), expected)
    booleans = frame.assign(n=pd.Series([True, False, None] * 40, dtype=object))
    assert_array_equal(model.transform(booleans.astype({"n": "Float64"})), expected)


NEVER: dict[str, tuple[list[Any], list[Any]]] = {
    "leading zeros and numbers": (["01", "02", "03"], [1, 2.0, 3]),
    "two decimals and numbers": (["1.50", "2.50", "x"], [1.5, 2.5]),
    "numbers and booleans": (["0", "1", "2"], [True, False]),
    "True and booleans": (["True", "False", "x"], [True, False]),
}


@pytest.mark.parametrize("what", NEVER)
def test_what_no_category_can_be_is_refused_whatever_stands_beside_it(what: str) -> None:
    texts, values = NEVER[what]
    column = pd.Categorical(np.resize(texts, 120))
    frame = pd.DataFrame({"c": column, "x": np.arange(120.0)})
    model = quiet(TabularClassifier(**QUICK), frame, np.resize(["p", "q", "q"], 120))
    for others in ([], [texts[0]], ["never seen"], [None]):
        for value in values:
            cells = [*others, value]
            rows = pd.DataFrame({"c": pd.Series(cells, dtype=object), "x": 1.0})
            with pytest.raises(TableError, match=r"'c' held categories in training .* and holds"):
                model.predict(rows)


@pytest.mark.parametrize(
    "cells", [["1.5", "a"], ["true", "2"], ["2020-01-03", "x"], ["10 kg", "5 %"]]
)
@pytest.mark.parametrize("dtype", ["U12", "T", object])
def test_arrays_of_texts_are_predicted_as_they_are_fitted(cells: list[str], dtype: Any) -> None:
    if dtype == "T" and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("NumPy 2 has this type")
    others = {"1.5": "2.5", "a": "b", "true": "false", "2": "3", "2020-01-03": "2021-04-05"}
    rows = [cells, [others.get(cell, cell) for cell in cells]] * 40
    A, y = np.array(rows, dtype={"T": "T", "U12": "U12"}.get(dtype, object)), ["p", "q"] * 40
    model = quiet(TabularClassifier(**QUICK), A, y)
    assert_array_equal(model.transform(A[:1])[0], model.transform(A)[0])
    assert 0 <= model.score(A, y) <= 1


def test_numbers_beyond_all_bounds_are_refused(model: TabularClassifier) -> None:
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.raises(TableError, match="too large"):
            method(X.assign(body_mass_g=1e300))


def test_what_is_only_missing_or_beside_the_model_is_no_other_kind(
    model: TabularClassifier,
) -> None:
    expected = model.predict_proba(X.assign(sex=None, year=np.nan))
    for none in (None, np.nan, pd.NA, pd.NaT):
        assert_array_equal(model.predict_proba(X.assign(sex=none, year=none)), expected)
    more = X.assign(another=[[1]] * len(X))[["another", *reversed(X.columns)]]
    assert_array_equal(model.predict_proba(more), model.predict_proba(X))


def test_unseen_categories_are_other_or_refused(model: TabularClassifier) -> None:
    assert len(model.predict(X.assign(sex="unknown"))) == len(X)
    strict = copy.copy(model).set_params(unseen="error")
    with pytest.raises(TableError, match="'sex': 'unknown' is a category that training did not"):
        strict.predict(X.assign(sex="unknown"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_layer_sizes": ()}, {"hidden_layer_sizes": (0,)}, {"hidden_layer_sizes": "ab"},
        {"alpha": -1}, {"dropout": 1.0}, {"validation_fraction": 0}, {"unseen": "x"},
        {"decimal": "x"}, {"decimal": ",", "thousands": ","}, {"activation": "no"},
        {"max_iter": 0}, {"n_iter_no_change": 0}, {"ignore": 3}, {"random_state": -1},
        {"batch_size": 0}, {"day_first": "yes"},
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    estimator = TabularClassifier(**QUICK | wrong)
    with pytest.raises(ValueError, match="|".join(wrong)):
        estimator.fit(X, Y)
    assert not hasattr(estimator, "model_")


def test_a_refused_fit_leaves_the_earlier_one(model: TabularClassifier) -> None:
    held, expected = copy.copy(model), model.predict_proba(X)
    with pytest.raises(TableError):
        held.fit(X, Y[:-1])
    assert_array_equal(held.predict_proba(X), expected)


OF_FILES = {
    "--stream", "--help", "--no-header", "--header", "--skip", "--separator", "--encoding",
    "--comment", "--dask", "--shards",
}  # fmt: skip


def test_every_option_in_messages_about_tables_has_a_word_in_python() -> None:
    text = "\n".join(p.read_text() for p in (ROOT / "src/deltarule/tables").glob("*.py"))
    named = set(re.findall(r"--[a-z][a-z-]+", text)) - OF_FILES
    assert len(named) > 10
    for option in named:
        said = in_python(f"say {option} 'it is' or {option} x; or ({option})")
        assert "--" not in said.replace("--task", ""), option


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("--missing '?' --missing none; or", "missing=['?', 'none']; or"),
        ("--category 'a b'.", "categories=['a b']."),
        ("--ignore $'a\\nb'", "ignore=['a\\nb']"),
        ("""--ignore 'it'"'"'s' --ignore x""", """ignore=["it's", 'x']"""),
        ("--decimal . or --decimal ,", "decimal='.' or decimal=','"),
        ("else say --number COL", "else say numbers=[its name]"),
        ("is given with --category and with --number", "is given in categories and in numbers"),
        ("(given with --ignore)", "(given in ignore)"),
        ("say --day-first or --month-first", "say day_first=True or day_first=False"),
    ],
)
def test_messages_in_pythons_words(said: str, meant: str) -> None:
    assert in_python(said) == meant


COUNT = 120
AXIS = pd.DataFrame({"q": np.linspace(0.0, 1.0, COUNT)})
BAD_TARGETS: dict[str, tuple[type[Any], Any, str]] = {
    "differences without squares": (TabularRegressor, (AXIS["q"] + 1).to_numpy() * 1e-170,
        r"differ by so little \(1e-170\).* another unit"),
    "beyond 64 bits": (TabularClassifier, [2**70, 1] * 60,
        r"such as 1180591620717411303424; .*\[str\(value\)"),
    "inexact": (TabularRegressor, [2**53 + 1, *range(COUNT - 1)], r"a larger unit or an exponent$"),
    "durations": (TabularClassifier, pd.Series(pd.to_timedelta(np.arange(COUNT) % 2, unit="D")),
        "convert it to numbers or texts$"),
    "no rows": (TabularClassifier, [], r"0 sample\(s\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_TARGETS)
def test_targets_that_cannot_be_learned_are_refused_with_a_remedy(what: str) -> None:
    kind, y, message = BAD_TARGETS[what]
    for options in ({"ensemble": 2}, {"hidden_layer_sizes": (4,)}):
        with pytest.raises(TableError, match=message) as refused:
            kind(max_iter=2, **options).fit(AXIS, y)
        assert "ignore" not in str(refused.value)
    with pytest.raises(TableError, match=r"0 sample\(s\)"):
        quiet(kind((4,), max_iter=2), AXIS, np.arange(COUNT) % 2).score(AXIS[:0], [])


def test_scores_of_odd_targets() -> None:
    y = (2 * AXIS["q"] + 1).to_numpy()
    options = {"max_iter": 300, "learning_rate_init": 0.01, "random_state": 0}
    model = quiet(TabularRegressor((8,), **options), AXIS, y)
    shift = y - model.predict(AXIS)
    beside = 1 - np.sum(y**2) / np.sum((y - y.mean()) ** 2)  # where predictions are nothing
    for scale in (1e150, 1e200, 1e300):
        assert model.score(AXIS, y * scale) == pytest.approx(beside, rel=1e-6)
    assert model.score(AXIS, y) == pytest.approx(1 - np.sum(shift**2) / (y.var() * COUNT))
    classes = quiet(TabularClassifier(**QUICK), AXIS, np.resize(["p", "q"], COUNT))
    for odd in (np.zeros(COUNT, "m8[s]"), [b"p"] * COUNT):
        for estimator in (model, classes):
            with pytest.raises(TableError, match="neither number nor text"):
                estimator.score(AXIS, odd)
    with pytest.raises(TableError, match="y must hold numbers"):
        model.score(AXIS, ["zz"] * COUNT)
    with pytest.raises(TableError, match="cannot be compared with the classes"):
        classes.score(AXIS, np.zeros(COUNT))
    with pytest.raises(TableError, match="infinity"):
        quiet(TabularRegressor(**QUICK), AXIS, np.full(COUNT, np.longdouble("1e4000")))


def test_the_remedies_for_targets_work() -> None:
    named = quiet(TabularClassifier(**QUICK), AXIS, [str(value) for value in [2**70, 1] * 60])
    assert set(named.predict(AXIS)) <= {str(2**70), "1"}
    tiny = (2 * AXIS["q"] + 1).to_numpy() * 1e-170
    options = {"max_iter": 300, "learning_rate_init": 0.01, "random_state": 0}
    fitted = quiet(TabularRegressor((8,), **options), AXIS, tiny * 1e170)
    assert fitted.score(AXIS, tiny * 1e170) > 0.99
    just = tiny * 1e30  # 1e-140: its squares are still float64
    assert quiet(TabularRegressor((8,), **options), AXIS, just).score(AXIS, just) > 0.99
