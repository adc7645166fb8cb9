"""Models of tables: trained, repeated, saved, and used on other tables."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from deltarule import load, save
from deltarule.datasets import penguins_path
from deltarule.errors import ModelFileError, TableError
from deltarule.storage import ModelRecord, read_model_record, write_model_record
from deltarule.tables import (
    Plan,
    PredictionsCsv,
    Settings,
    Shares,
    TableModel,
    TabularClassifier,
    fit,
    prepare,
    read_table,
    score_parts,
)

SMALL = Settings(hidden=(16,), epochs=60, learning_rate=0.01, patience=10)


def penguins() -> pd.DataFrame:
    return pd.read_csv(penguins_path())


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model() -> TableModel:
    return fit(prepare(read_table(penguins_path()), Plan("species")), SMALL)


def regression(tmp_path: Path, shift: float = 1e6, unit: float = 1e4) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(300, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["price"] = shift + unit * (X[:, 0] - 2 * X[:, 1] + 0.1 * draw.normal(size=300))
    return frame


# --- training ------------------------------------------------------------------------------------


def test_the_parts_are_those_of_the_plan() -> None:
    prepared = prepare(read_table(penguins_path()), Plan("species", shares=Shares(0.1, 0.2)))
    facts = prepared.provenance
    assert (facts.training_rows, facts.dev_rows, facts.test_rows) == (241, 34, 69)
    auto = prepare(read_table(penguins_path()), Plan("species", shares=None)).provenance
    assert (auto.training_rows, auto.dev_rows, auto.test_rows) == (206, 69, 69)


def test_a_seed_repeats_a_run_to_the_bit(tmp_path: Path) -> None:
    table = read_table(penguins_path())
    paths = []
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        model = fit(prepare(table, Plan("species", seed=seed)), SMALL)
        paths.append(model.save(tmp_path / name).read_bytes())
    assert paths[0] == paths[1]
    assert paths[0] != paths[2]


def test_the_best_dev_parameters_are_kept() -> None:
    prepared = prepare(read_table(penguins_path()), Plan("species"))
    model = fit(prepared, SMALL)
    dev = score_parts(model, prepared)["dev"]
    assert dev.scores["accuracy"] == pytest.approx(
        max(model.estimator.validation_scores_), abs=1e-4
    )


@pytest.mark.parametrize("target", ["species", "sex"])  # several classes, and two
def test_log_loss_decides_between_epochs_of_equal_accuracy(target: str) -> None:
    model = fit(prepare(read_table(penguins_path()), Plan(target)), SMALL)
    accuracy = np.round(model.estimator.validation_scores_, 4)
    losses = np.where(accuracy == accuracy.max(), model.estimator.validation_loss_curve_, np.inf)
    assert np.isfinite(losses).sum() > 1
    assert model.training_summary().best_epoch == 1 + np.argmin(losses)


@pytest.mark.parametrize("scores", [[], None])
def test_a_network_of_no_epoch_has_a_summary(scores: list[float] | None) -> None:
    model = fit(prepare(read_table(penguins_path()), Plan("species")), SMALL)
    model.estimator.validation_scores_ = scores
    summary = model.training_summary()
    assert (summary.epochs, summary.best_epoch) == (0, 0)


def test_regression_is_in_the_users_unit(tmp_path: Path) -> None:
    """A target that is shifted and scaled gives predictions that are shifted and scaled."""
    small, large = regression(tmp_path, 0, 1), regression(tmp_path, 1e6, 1e4)
    results = []
    for name, frame in (("small", small), ("large", large)):
        table = read_table(write(frame, tmp_path / f"{name}.csv"))
        model = fit(prepare(table, Plan("price")), SMALL)
        results.append((model.predict(table).values, model.evaluate(table).scores))
    assert results[1][1]["r2"] > 0.98
    assert_allclose(results[1][0], 1e6 + 1e4 * results[0][0], rtol=1e-3)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "penguins"])
@pytest.mark.long
def test_defaults_are_as_good_as_scikit_learns_mlp(tmp_path: Path, name: str) -> None:
    """Over 5 seeds, on the same test rows, no worse than two standard errors (and one point)."""
    loaders: dict[str, Any] = {
        "iris": load_iris,
        "wine": load_wine,
        "breast_cancer": load_breast_cancer,
        "diabetes": load_diabetes,
    }
    frame = penguins() if name == "penguins" else loaders[name](as_frame=True).frame
    target = "species" if name == "penguins" else "target"
    table = read_table(write(frame, tmp_path / "t.csv"))
    ours, theirs = [], []
    for seed in range(5):
        prepared = prepare(table, Plan(target, shares=Shares(0.1, 0.3), seed=seed))
        fitted = fit(prepared, Settings())
        scores = score_parts(fitted, prepared)["test"].scores
        if name == "diabetes":
            ours.append(scores["r2"])
            theirs.append(0.35)  # what MLPRegressor reaches at its defaults, standardised
            continue
        ours.append(scores["accuracy"])
        split = prepared.reader.split
        assert split.exact is not None
        rest = np.flatnonzero(split.exact < 2)
        X = frame.drop(columns=target)
        pipe = make_pipeline(
            make_column_transformer(
                (
                    make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                    make_column_selector(dtype_include="number"),
                ),
                (
                    OneHotEncoder(handle_unknown="ignore"),
                    make_column_selector(dtype_exclude="number"),
                ),
            ),
            MLPClassifier(max_iter=1000, random_state=seed),
        ).fit(X.iloc[rest], frame[target].iloc[rest])
        test = np.flatnonzero(split.exact == 2)
        theirs.append(pipe.score(X.iloc[test], frame[target].iloc[test]))
    difference = np.array(ours) - np.array(theirs)
    assert difference.mean() >= -2 * difference.std(ddof=1) / np.sqrt(5) - 0.01


def test_evaluation_is_scikit_learns(model: TableModel) -> None:
    table = read_table(penguins_path())
    evaluation, predictions = model.evaluate(table), model.predict(table)
    true = penguins()["species"].to_numpy()
    assert_array_equal(evaluation.y_true, true)
    assert predictions.probabilities is not None
    assert evaluation.scores["accuracy"] == metrics.accuracy_score(true, predictions.values)
    assert evaluation.scores["log_loss"] == pytest.approx(
        metrics.log_loss(true, predictions.probabilities)
    )
    assert evaluation.scores["baseline_accuracy"] == 152 / 344
    report = metrics.classification_report(true, predictions.values, output_dict=True)
    for score in evaluation.classes:
        assert score.f1 == pytest.approx(report[score.label]["f1-score"])
        assert score.rows == report[score.label]["support"]


def test_regression_scores_are_scikit_learns(tmp_path: Path) -> None:
    table = read_table(write(regression(tmp_path), tmp_path / "t.csv"))
    model = fit(prepare(table, Plan("price")), SMALL)
    evaluation = model.evaluate(table)
    y, p = evaluation.y_true, evaluation.y_pred
    assert evaluation.scores["r2"] == pytest.approx(metrics.r2_score(y, p))
    assert evaluation.scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, p))
    assert evaluation.scores["mae"] == pytest.approx(metrics.mean_absolute_error(y, p))


def test_gradients_are_right(model: TableModel) -> None:
    assert model.check(read_table(penguins_path())).verdict == "right"


# --- other tables --------------------------------------------------------------------------------


def test_columns_may_be_reordered_and_added(model: TableModel, tmp_path: Path) -> None:
    frame = penguins()
    expected = model.predict(read_table(penguins_path())).probabilities
    shuffled = frame[frame.columns[::-1]].drop(columns="species").assign(comment="x")
    table = read_table(write(shuffled, tmp_path / "t.csv"))
    assert_array_equal(model.predict(table).probabilities, expected)


def test_parquet_and_csv_give_the_same_bits(model: TableModel, tmp_path: Path) -> None:
    table = read_table(write(penguins(), tmp_path / "t.parquet"))
    expected = model.predict(read_table(penguins_path())).probabilities
    assert_array_equal(model.predict(table).probabilities, expected)
    assert model.evaluate(table).rows == 344


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rename": {"sex": "gender"}}, "lacks 1 of the 7 columns .*'sex'"),
        ({"cell": ("body_mass_g", "oops")}, "line 7, column 'body_mass_g': 'oops'"),
        ({"cell": ("year", "1e999")}, "line 7, column 'year': '1e999'"),
    ],
)
def test_other_columns_are_refused(
    model: TableModel, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    frame = penguins().astype(object)
    frame = frame.rename(columns=change.get("rename", {}))
    if "cell" in change:
        column, value = change["cell"]
        frame.loc[5, column] = value
    with pytest.raises(TableError, match=message):
        model.predict(read_table(write(frame, tmp_path / "t.csv")))


def test_unseen_categories_are_reported(model: TableModel, tmp_path: Path) -> None:
    table = read_table(write(penguins().replace("Dream", "Atlantis"), tmp_path / "t.csv"))
    (note,) = model.predict(table).notes
    assert "'island': 124 cells hold categories that were not in training ('Atlantis')" in note
    with pytest.raises(TableError, match="'Atlantis' is a category that training did not see"):
        model.predict(table, "error")


def test_evaluation_counts_rows_without_target_and_refuses_new_classes(
    model: TableModel, tmp_path: Path
) -> None:
    frame = penguins()
    frame.loc[3:12, "species"] = None
    evaluation = model.evaluate(read_table(write(frame, tmp_path / "t.csv")))
    assert evaluation.rows == 334
    assert evaluation.notes == ["10 rows without a target were left out"]
    frame.loc[20, "species"] = "Emperor"
    with pytest.raises(TableError, match="line 22, column 'species': 'Emperor' is none of the"):
        model.evaluate(read_table(write(frame, tmp_path / "new.csv")))
    with pytest.raises(TableError, match="no column 'species'"):
        model.evaluate(read_table(write(frame.drop(columns="species"), tmp_path / "none.csv")))


def test_an_absurd_number_is_refused_or_stays_finite(model: TableModel, tmp_path: Path) -> None:
    frame = penguins().astype({"year": float})
    frame.loc[0, "year"] = 1e300
    with contextlib.suppress(TableError):
        predictions = model.predict(read_table(write(frame, tmp_path / "t.csv")))
        assert predictions.probabilities is not None
        assert np.isfinite(predictions.probabilities).all()


# --- files ---------------------------------------------------------------------------------------


def test_saved_models_predict_the_same_bits(model: TableModel, tmp_path: Path) -> None:
    again = TableModel.load(model.save(tmp_path / "m.safetensors"))
    assert again.preprocessing == model.preprocessing
    assert again.provenance == model.provenance
    table = read_table(penguins_path())
    assert_array_equal(again.predict(table).probabilities, model.predict(table).probabilities)


def test_table_models_and_estimators_are_told_apart(model: TableModel, tmp_path: Path) -> None:
    path = model.save(tmp_path / "table")
    assert type(load(path)) is TabularClassifier
    save(model.estimator, tmp_path / "estimator")
    with pytest.raises(ModelFileError, match=r"deltarule\.load"):
        TableModel.load(tmp_path / "estimator")


FORGED: dict[str, dict[str, Any]] = {
    "extra entry": {"hook": "os.system"},
    "provenance lacks": {"provenance": {}},
    "preprocessing lacks": {"preprocessing": {}},
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_records_are_refused(model: TableModel, tmp_path: Path, name: str) -> None:
    contents = read_model_record(model.save(tmp_path / "m"))
    forged = ModelRecord("table", contents.record | FORGED[name], contents.tensors)
    write_model_record(forged, tmp_path / "f")
    with pytest.raises(ModelFileError, match=f"{tmp_path / 'f'} is not a usable model file"):
        TableModel.load(tmp_path / "f")


@pytest.mark.parametrize("what", ["columns", "target"])
def test_a_preprocessing_of_another_network_is_refused(
    model: TableModel, tmp_path: Path, what: str
) -> None:
    contents = read_model_record(model.save(tmp_path / "m"))
    record = json.loads(json.dumps(contents.record))
    if what == "columns":
        record["preprocessing"]["columns"].pop()
    else:
        record["preprocessing"]["target"]["labels"].pop()
    write_model_record(ModelRecord("table", record, contents.tensors), tmp_path / "f")
    with pytest.raises(ModelFileError, match="its network and its preprocessing differ"):
        TableModel.load(tmp_path / "f")


# --- predictions as CSV --------------------------------------------------------------------------


def test_predictions_read_back_exactly(model: TableModel, tmp_path: Path) -> None:
    table = read_table(penguins_path())
    predictions = model.predict(table)
    (tmp_path / "p.csv").write_bytes(b"".join(PredictionsCsv(model, table)))
    frame = as_text(tmp_path / "p.csv")
    labels = ["Adelie", "Chinstrap", "Gentoo"]
    assert list(frame.columns) == ["prediction", *(f"probability_{label}" for label in labels)]
    assert_array_equal(frame["prediction"], predictions.values)
    assert_array_equal(frame.iloc[:, 1:].map(float), predictions.probabilities)
    (tmp_path / "k.csv").write_bytes(b"".join(PredictionsCsv(model, table, keep=True)))
    kept = as_text(tmp_path / "k.csv")
    pd.testing.assert_frame_equal(kept, pd.concat([as_text(penguins_path()), frame], axis=1))


def as_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_formulas_are_escaped_on_request(model: TableModel, tmp_path: Path) -> None:
    frame = penguins().head(4).assign(comment=["=1+1", "@x", "-3.5", "+cmd|' /C calc'!A0"])
    table = read_table(write(frame, tmp_path / "t.csv"))
    plain, escaped = (
        pd.read_csv(write_bytes(tmp_path / "p.csv", data), dtype=str)["comment"].tolist()
        for data in (
            b"".join(PredictionsCsv(model, table, keep=True)),
            b"".join(PredictionsCsv(model, table, keep=True, escape=True)),
        )
    )
    assert plain == frame["comment"].tolist()
    assert escaped == ["'=1+1", "'@x", "-3.5", "'+cmd|' /C calc'!A0"]


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_column_named_prediction_is_not_doubled(model: TableModel, tmp_path: Path) -> None:
    table = read_table(write(penguins().assign(prediction=1), tmp_path / "t.csv"))
    with pytest.raises(TableError, match="already has columns 'prediction'"):
        list(PredictionsCsv(model, table, keep=True))
    list(PredictionsCsv(model, table))
