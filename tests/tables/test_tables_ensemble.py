"""Ensembles over folds: the encoding of numbers, the folds, training, files, ONNX, commands."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path
from signal import SIGINT, pthread_kill
from threading import main_thread
from time import sleep
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.preprocessing import QuantileTransformer

from deltarule import TabularClassifier, TabularRegressor, explain, load, save
from deltarule.cli.json_schema import OUTPUT
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from deltarule.errors import DivergenceError, ModelFileError, SpecError, TableError
from deltarule.tables import (
    Plan,
    Settings,
    Shares,
    TableModel,
    fit,
    fold_training,
    prepare,
    read_table,
)
from deltarule.tables.encoding import (
    FURTHEST,
    bin_edges,
    fill_bins,
    height_of_bins,
    height_of_categories,
    normal_scores,
    usual_encoding,
)
from deltarule.tables.ensemble import Ensemble, best_temperature, tempered
from deltarule.tables.folds import choose_folds, draw_folds
from deltarule.tables.time_budget import affordable

QUICK: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 8, "learning_rate_init": 0.02}
LINE = ["--hidden", "8", "--epochs", "8", "--learning-rate", "0.02", "--ensemble", "3"]


@pytest.fixture(scope="module")
def penguins() -> pd.DataFrame:
    return pd.read_csv(penguins_path()).dropna(subset="body_mass_g").reset_index(drop=True)


@pytest.fixture(scope="module")
def classifier(penguins: pd.DataFrame) -> TabularClassifier:
    X = penguins.drop(columns="species")
    return TabularClassifier(ensemble=3, **QUICK).fit(X, penguins["species"])


@pytest.fixture(scope="module")
def regressor(penguins: pd.DataFrame) -> TabularRegressor:
    X = penguins.drop(columns="body_mass_g")
    return TabularRegressor(ensemble=3, **QUICK).fit(X, penguins["body_mass_g"])


# --- the encoding of numbers -------------------------------------------------------------------


def test_the_scores_of_quantiles_are_scikit_learns() -> None:
    values = np.random.default_rng(0).lognormal(size=3000)
    knots, scores = normal_scores(values)
    theirs = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(values[:, None])
    assert len(knots) == 100
    expected = np.clip(theirs.transform(knots[:, None])[:, 0], -FURTHEST, FURTHEST)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_number_that_repeats_has_the_score_of_its_middle() -> None:
    knots, scores = normal_scores(np.repeat([0.0, 1.0, 2.0], [600, 300, 100]))
    assert knots.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(norm.cdf(scores), [0.3, 0.75, 0.95], atol=0.02)


@given(st.integers(-1074, 900))
def test_numbers_of_any_size_are_encoded_as_finite_ones(exponent: int) -> None:
    values = np.ldexp(np.random.default_rng(0).normal(size=300), exponent)
    knots, scores = normal_scores(values)
    edges = bin_edges(values, 24)
    if len(knots):
        assert np.isfinite(np.interp(values, knots, scores)).all()
    if len(edges):
        assert np.isfinite(fill_bins(values, edges)).all()


@given(arrays.arrays(np.float64, st.integers(0, 200), elements=st.floats(-1e9, 1e9)))
def test_scores_rise_and_stay_near_zero(values: Any) -> None:
    knots, scores = normal_scores(values)
    assert len(knots) != 1
    assert (np.diff(knots) > 0).all()
    assert (np.diff(scores) > 0).all()
    assert (np.abs(scores) <= FURTHEST).all()


@given(
    arrays.arrays(np.float64, st.integers(1, 100), elements=st.floats(-1e6, 1e6)),
    st.integers(2, 30),
)
def test_bins_add_up_to_the_number(values: Any, bins: int) -> None:
    edges = bin_edges(values, bins)
    if len(edges) == 0:
        return
    filled = fill_bins(values, edges)
    assert filled.shape == (len(values), len(edges) - 1)
    found = edges[0] + filled @ np.diff(edges)
    scale = np.abs(edges).max()
    np.testing.assert_allclose(found, np.clip(values, edges[0], edges[-1]), atol=1e-9 * scale)


def test_wide_tables_have_fewer_bins() -> None:
    assert [usual_encoding(columns).bins for columns in (0, 8, 100, 200, 1500)] == [
        24,
        24,
        24,
        12,
        0,
    ]


def test_columns_of_many_features_are_lower_in_an_ensemble() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "number": rng.normal(size=300),
            "few": rng.choice(["a", "b", "c"], 300),
            "many": rng.choice(list("abcdefghijkl"), 300),
            "y": rng.normal(size=300),
        }
    )
    X, y = rows.drop(columns="y"), rows["y"].to_numpy()
    model = TabularRegressor(ensemble=2, max_iter=2, random_state=0).fit(X, y)
    number, few, many = model.model_.preprocessing.columns
    assert (number.height, few.height, many.height) == (1.5 / np.sqrt(24), 1.0, 0.25)
    inputs = np.asarray(model.transform(X))
    bins, one_hot = inputs[:, 1:25], inputs[:, 25:]
    assert bins.max() == pytest.approx(1.5 / np.sqrt(24))
    np.testing.assert_array_equal(one_hot[:, :3].sum(axis=1), 1.0)
    np.testing.assert_array_equal(one_hot[:, 3:].sum(axis=1), 0.25)
    with pytest.warns(ConvergenceWarning):
        alone = TabularRegressor(ensemble=1, max_iter=2, random_state=0).fit(X, y).model_
    assert [column.height for column in alone.preprocessing.columns] == [1.0, 1.0, 1.0]
    assert (height_of_bins(2), height_of_categories(9, 20)) == (1, 1)
    heights = [height_of_categories(51, rows) for rows in (51, 5100, 10_200, 100_000)]
    assert heights == [3 / 51, 1 / 4, 1, 1]


def test_bins_hold_equally_many_rows() -> None:
    values = np.random.default_rng(0).exponential(size=2400)
    counts = np.histogram(values, bin_edges(values, 24))[0]
    assert counts.min() >= 98
    assert counts.max() <= 102


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_encoding_is_an_option_of_one_network(penguins: pd.DataFrame) -> None:
    X = penguins.drop(columns="species")
    model = TabularClassifier(scaling="quantiles", bins=4, **QUICK).fit(X, penguins["species"])
    names = model.get_feature_names_out().tolist()
    assert [name for name in names if name.startswith("bill_depth")] == [
        "bill_depth_mm",
        *(f"bill_depth_mm_bin{number}" for number in (1, 2, 3, 4)),
    ]
    inputs = pd.DataFrame(model.transform(X), columns=names)
    order = X["bill_depth_mm"].rank().corr(inputs["bill_depth_mm"].rank())
    assert order > 0.999  # but for what lies beyond the training rows
    assert inputs["bill_depth_mm_bin2"].between(0, 1).all()


# --- folds and temperature ---------------------------------------------------------------------


@given(st.integers(2, 9), st.lists(st.integers(0, 4), min_size=20, max_size=80), st.integers(0, 9))
def test_folds_hold_the_classes_in_proportion(count: int, labels: list[int], seed: int) -> None:
    codes = np.unique(labels, return_inverse=True)[1]
    fold = draw_folds(len(codes), count, seed, codes)
    sizes = np.bincount(fold[fold >= 0], minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for label in range(codes.max() + 1):
        members = fold[codes == label]
        if len(members) == 1:
            assert members[0] == -1
            continue
        held = np.bincount(members, minlength=count)
        assert held.sum() == len(members)
        assert held.max() - held.min() <= 1
        assert (held < len(members)).all()  # every network learns the class


def test_a_temperature_undoes_a_scale() -> None:
    rng = np.random.default_rng(0)
    P = rng.dirichlet([1, 2, 3], size=20_000)
    codes = (rng.random((len(P), 1)) > P.cumsum(axis=1)).sum(axis=1)
    assert best_temperature(P, codes) == pytest.approx(1, abs=0.05)
    assert best_temperature(tempered(P, 0.5), codes) == pytest.approx(2, abs=0.1)


def test_the_temperature_has_the_least_log_loss() -> None:
    rng = np.random.default_rng(1)
    P = rng.dirichlet([0.3, 0.3], size=500)
    codes = (rng.random(500) > tempered(P, 1.4)[:, 0]).astype(int)
    best = best_temperature(P, codes)
    losses = [log_loss(codes, tempered(P, T)) for T in (best * 0.97, best, best * 1.03)]
    assert losses[1] <= min(losses)
    P = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert best_temperature(P, np.array([0, 1])) == pytest.approx(0.5, rel=1e-3)  # not 0


def test_the_table_decides_on_the_number_of_networks(
    penguins: pd.DataFrame, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    penguins.to_csv(file, index=False)
    table = read_table(file)
    assert choose_folds(table, Plan("species", ensemble=None)).networks == 8
    assert choose_folds(table, Plan("species")).networks == 1
    for one in (
        {"one_network": True},
        {"shares": Shares(0.2, 0.0)},
        {"shares": None},
        {"time": "year"},
    ):
        found = choose_folds(table, Plan("species", ensemble=None, **one))  # type: ignore[arg-type]
        assert found.networks == 1
        assert found.why_one
    penguins.head(99).to_csv(file, index=False)
    assert "99" not in choose_folds(read_table(file), Plan("species", ensemble=None)).why_one
    assert choose_folds(read_table(file), Plan("species", ensemble=None)).networks == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"time": "year"}, "ensemble=1"),
        ({"validation_fraction": 0.2}, "ensemble=1"),
        ({"ensemble": 300}, "ensemble=1"),
        ({"checkpoint": "folder"}, "ensemble=1"),
    ],
)
def test_what_is_of_one_network_is_refused(
    penguins: pd.DataFrame, tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    given = {"ensemble": 3} | arguments
    if "checkpoint" in given:
        given["checkpoint"] = tmp_path / "folder"
    with pytest.raises((TableError, SpecError), match=words):
        TabularClassifier(**given).fit(penguins.drop(columns="species"), penguins["species"])
    assert not (tmp_path / "folder").exists()


# --- training ----------------------------------------------------------------------------------


def test_the_score_out_of_fold_is_of_rows_that_a_network_did_not_see(
    penguins: pd.DataFrame, tmp_path: Path
) -> None:
    penguins.to_csv(tmp_path / "t.csv", index=False)
    prepared = prepare(read_table(tmp_path / "t.csv"), Plan("species", ensemble=3))
    model = fit(prepared, Settings(hidden=(8,), epochs=8, learning_rate=0.02))
    X, y = prepared.reader.whole_part("training")
    seed = np.random.SeedSequence(prepared.provenance.network_seed).generate_state(4)[0]
    fold = draw_folds(len(y), 3, int(seed), y)
    P = np.empty((len(y), 3))
    for number in range(3):
        P[fold == number] = model.networks[number].predict_proba(
            X[fold == number].astype(np.float32)
        )
    P = tempered(P, model.trained.temperature)
    assert model.out_of_fold is not None
    assert model.out_of_fold.rows == len(y) == len(penguins)
    assert model.trained.out_of_fold == accuracy_score(y, P.argmax(axis=1))
    assert model.out_of_fold.scores["log_loss"] == pytest.approx(log_loss(y, P))


def test_predictions_are_means(
    classifier: TabularClassifier, regressor: TabularRegressor, penguins: pd.DataFrame
) -> None:
    members = [classifier.model_.member(i).predict(read(penguins)).probabilities for i in (1, 2, 3)]
    mean = np.mean(members, axis=0)
    powers = mean ** (1 / classifier.model_.trained.temperature)
    found = classifier.predict_proba(penguins)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(penguins)), found, rtol=1e-6)
    inputs, mass = regressor.transform(penguins), penguins["body_mass_g"]
    z = np.mean([network.predict(inputs) for network in regressor.model_.networks], axis=0)
    numbers = np.clip(z * mass.std(ddof=0) + mass.mean(), mass.min(), mass.max())
    np.testing.assert_allclose(regressor.predict(penguins), numbers, rtol=1e-6)
    score = r2_score(penguins["body_mass_g"], regressor.predict(penguins))
    assert abs(score - regressor.oof_score_) < 0.1


def read(frame: pd.DataFrame) -> Any:
    from deltarule.tables.sources.frames import read_frame

    return read_frame(frame).table()


def test_a_default_fit_is_an_ensemble_and_learns(penguins: pd.DataFrame) -> None:
    X = penguins.drop(columns="species")
    model = TabularClassifier().fit(X, penguins["species"])
    assert len(model.model_.networks) == 8
    assert model.oof_score_ > 0.97
    widths = {tuple(found.widths[1:-1]) for found in model.model_.training_summaries()}
    assert len(widths) >= 3  # different networks
    one = TabularClassifier(ensemble=1, n_iter_no_change=3).fit(X, penguins["species"])
    assert len(one.model_.networks) == 1
    with pytest.raises(AttributeError, match="ensemble=8"):
        _ = one.oof_score_


def test_curves_are_of_one_network(classifier: TabularClassifier) -> None:
    assert classifier.n_iter_ == max(int(one.n_iter_) for one in classifier.model_.networks)
    with pytest.raises(AttributeError, match="networks"):
        _ = classifier.loss_curve_
    with pytest.raises(SpecError, match="member"):
        _ = classifier.model_.estimator
    with pytest.raises(SpecError, match="1 to 3; got 4"):
        classifier.model_.member(4)


def test_a_class_of_one_row_is_learned_by_every_network(penguins: pd.DataFrame) -> None:
    y = penguins["species"].where(penguins.index != 7, "Emperor")
    model = TabularClassifier(ensemble=3, **QUICK).fit(penguins.drop(columns="species"), y)
    assert model.classes_.tolist() == ["Adelie", "Chinstrap", "Emperor", "Gentoo"]
    assert model.predict_proba(penguins).shape == (len(penguins), 4)
    assert model.model_.out_of_fold is not None
    assert model.model_.out_of_fold.rows == len(penguins) - 1


def test_weights_act_in_every_network(penguins: pd.DataFrame) -> None:
    X, y = penguins.drop(columns="species"), penguins["species"]
    weight = np.where(y == "Adelie", 100.0, 1e-3)
    P = TabularClassifier(ensemble=3, **QUICK).fit(X, y, weight).predict_proba(X)
    even = TabularClassifier(ensemble=3, **QUICK).fit(X, y).predict_proba(X)
    assert P[:, 0].mean() > even[:, 0].mean() + 0.1


def test_the_bits_do_not_depend_on_threads(
    penguins: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for threads in ("1", "3"):
        monkeypatch.setenv("_DELTARULE_FORCE_THREADS", threads)
        model = TabularClassifier(ensemble=5, **QUICK)
        model.fit(penguins.drop(columns="species"), penguins["species"])
        files.append(model.save(tmp_path / threads).read_bytes())
    assert files[0] == files[1]


def test_callbacks_see_every_network(penguins: pd.DataFrame) -> None:
    ended: list[bool] = []

    class Counter:
        def setup(self, estimator: Any, context: Any) -> None: ...
        def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...
        def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
            ended.append(context.parent is None)
            return False

        def teardown(self, estimator: Any, context: Any) -> None: ...

    model = TabularClassifier(ensemble=3, **QUICK).set_callbacks(Counter())
    model.fit(penguins.drop(columns="species"), penguins["species"])
    assert sum(ended) == 3
    assert len(ended) == 3 + sum(int(one.n_iter_) for one in model.model_.networks)


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_diverges_is_an_error(penguins: pd.DataFrame) -> None:
    model = TabularRegressor(ensemble=2, learning_rate_init=1e30, max_iter=3, activation="relu")
    with pytest.raises(DivergenceError, match="learning_rate_init"):
        model.fit(penguins.drop(columns="body_mass_g"), penguins["body_mass_g"])
    assert not hasattr(model, "model_")


def test_an_error_ends_the_other_networks(
    penguins: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltarule.tables import fold_training

    begun: list[int] = []
    made = fold_training.member_estimator

    def failing(number: int, *rest: Any) -> Any:
        begun.append(number)
        if number == 0:
            raise MemoryError("the first")
        return made(number, *rest).set_params(max_iter=10**6, n_iter_no_change=10**6)

    monkeypatch.setattr(fold_training, "member_estimator", failing)
    monkeypatch.setenv("_DELTARULE_FORCE_THREADS", "2")
    with pytest.raises(MemoryError, match="the first"):
        TabularClassifier(ensemble=6, **QUICK).fit(
            penguins.drop(columns="species"), penguins["species"]
        )
    assert len(begun) < 6  # and those that had begun did not take a million epochs


# --- files and graphs --------------------------------------------------------------------------


def test_files_give_the_same_bits(
    classifier: TabularClassifier,
    regressor: TabularRegressor,
    penguins: pd.DataFrame,
    tmp_path: Path,
) -> None:
    for name, model in (("c", classifier), ("r", regressor)):
        again = load(model.save(tmp_path / name))
        assert np.array_equal(again.predict(penguins), model.predict(penguins))
        assert again.oof_score_ == model.oof_score_
        assert again.get_params() == model.get_params()
        again.save(tmp_path / f"{name}2")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"{name}2").read_bytes()


def test_a_pipeline_holds_an_ensemble(penguins: pd.DataFrame, tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = penguins[["bill_length_mm", "body_mass_g"]].to_numpy()
    pipeline = make_pipeline(StandardScaler(), TabularClassifier(ensemble=2, **QUICK))
    pipeline.fit(X, penguins["species"])
    again = load(save(pipeline, tmp_path / "p"))
    assert np.array_equal(again.predict_proba(X), pipeline.predict_proba(X))


@pytest.mark.parametrize(("after", "kept"), [(1, 1), (3, 2)])
def test_ctrl_c_keeps_the_networks_that_have_begun(
    penguins: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, after: int, kept: int, tmp_path: Path
) -> None:
    """One is trained after the other here: with one core."""
    ends, seen = fold_training._Stopper.on_fit_task_end, list[int]()

    def interrupting(self: Any, estimator: Any, context: Any) -> bool:
        if context.parent is None:
            seen.append(1)
        if len(seen) == (after - 1) // 2 and len(estimator.loss_curve_) == 2:
            pthread_kill(main_thread().ident or 0, SIGINT)
            for _ in range(500):  # until the other thread has taken it
                if self.stopped:
                    break
                sleep(0.01)
        return ends(self, estimator, context)

    monkeypatch.setattr(fold_training._Stopper, "on_fit_task_end", interrupting)
    monkeypatch.setenv("DELTARULE_NUM_THREADS", "1")
    X, y = penguins.drop(columns="species"), penguins["species"]
    with pytest.warns(UserWarning, match=f"interrupted by user: {kept} of 3 networks"):
        model = TabularClassifier(ensemble=3, max_iter=6).fit(X, y)
    assert len(model.model_.networks) == kept
    assert model.model_.out_of_fold is not None
    again = load(model.save(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert [summary.epochs for summary in model.model_.training_summaries()][-1] == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda record, _: record["ensemble"].update(temperature=0.0),
        lambda record, _: record["ensemble"].update(temperature=float("inf")),
        lambda record, _: record["ensemble"].update(networks=record["ensemble"]["networks"][:1]),
        lambda record, _: record["ensemble"]["networks"].pop(),
        lambda record, _: record.update(network=record["ensemble"]["networks"][0]),
        lambda _, tensors: tensors.update({"7.W1": tensors["0.W1"]}),
        lambda _, tensors: tensors.update({"W1": tensors["0.W1"]}),
        lambda record, _: record["preprocessing"]["columns"][1].update(knots=[1.0, 0.0]),
        lambda record, _: record["preprocessing"]["columns"][1].update(edges=[1.0, 1.0, 2.0]),
        lambda record, _: record["preprocessing"]["columns"][1].update(edges=[]),
        lambda record, _: record["preprocessing"]["columns"][1].update(scores=[1e300] * 9),
    ],
)
def test_forged_ensembles_are_refused(classifier: TabularClassifier, change: Any) -> None:
    contents = classifier.to_model_record()
    record, tensors = json.loads(json.dumps(contents.record)), dict(contents.tensors)
    change(record, tensors)
    with pytest.raises(ModelFileError):
        TableModel.from_model_record(contents._replace(record=record, tensors=tensors))


def test_graphs_equal_predictions(
    classifier: TabularClassifier, regressor: TabularRegressor, penguins: pd.DataFrame
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    sex = penguins.dropna(subset="sex")
    two = TabularClassifier(ensemble=3, **QUICK).fit(sex.drop(columns="sex"), sex["sex"])
    for model in (classifier, regressor, two):
        for dtype, close in (("float64", 1e-6), ("float32", 1e-4)):
            session = runtime.InferenceSession(model.to_onnx(dtype=dtype).SerializeToString())
            feed = {
                one.name: penguins[one.name].fillna("").to_numpy(object)[:, None]
                if "string" in one.type
                else penguins[one.name].to_numpy(dtype)[:, None]
                for one in session.get_inputs()
            }
            found = session.run(None, feed)
            if model is regressor:
                np.testing.assert_allclose(found[0][:, 0], model.predict(penguins), rtol=close)
            else:
                np.testing.assert_allclose(found[1], model.predict_proba(penguins), atol=close)
                assert found[0].tolist() == model.predict(penguins).tolist()


def test_a_file_of_networks_predicts_without_scikit_learn(
    classifier: TabularClassifier, tmp_path: Path
) -> None:
    model = classifier.save(tmp_path / "m.safetensors")
    script = (
        "import sys; from deltarule.cli.run import run; "
        f"code = run(['predict', {str(model)!r}, {str(penguins_path())!r}, '-o', "
        f"{str(tmp_path / 'p.csv')!r}]); sys.exit(code or 'sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    found = pd.read_csv(tmp_path / "p.csv")["prediction"]
    assert found.tolist() == classifier.predict(pd.read_csv(penguins_path())).tolist()


# --- what is of one network, and the commands --------------------------------------------------


def test_a_network_is_explained_and_checked(
    classifier: TabularClassifier, penguins: pd.DataFrame
) -> None:
    table = read(penguins)
    assert classifier.model_.member(2).check(table).verdict == "right"
    shown = str(explain(classifier.model_.member(2), table, [0]))
    assert "W" in shown
    with pytest.raises(SpecError, match=r"member\(1\)"):
        explain(classifier.model_, table, [0])


def test_the_commands_name_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = str(penguins_path())
    train = ["train", table, "-t", "species", "-o", "m.safetensors", "--overwrite", *LINE]
    assert run(train) == 0
    out = capsys.readouterr().out
    assert "ensemble of 3 networks" in out
    assert "network 3: " in out
    assert "out of fold" in out
    assert run([*train, "--json", "--test", "0.2"]) == 0
    found = json.loads(capsys.readouterr().out)
    OUTPUT.validate_python(found)
    assert list(found["scores"]) == ["out_of_fold", "test"]
    assert len(found["networks"]) == 3
    assert run(["check", "m.safetensors", table, "--member", "2"]) == 0
    assert "network 2 of 3" in capsys.readouterr().out
    assert run(["explain", "m.safetensors", table, "--member", "4"]) == 2
    assert "1 to 3; got 4" in capsys.readouterr().err
    assert run(["train", table, "-t", "species", "--ensemble", "3", "--dev", "0.2"]) == 2
    assert "--ensemble 1" in capsys.readouterr().err


def test_python_and_the_command_line_give_the_same_file(
    classifier: TabularClassifier, tmp_path: Path
) -> None:
    frame = pd.read_csv(penguins_path())
    model = TabularClassifier(ensemble=3, **QUICK).fit(
        frame.drop(columns="species"), frame["species"]
    )
    model.save(tmp_path / "a")
    line = ["train", str(penguins_path()), "-t", "species", "-o", str(tmp_path / "b"), "-q", *LINE]
    assert run(line) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_ensemble_has_two_networks_or_more(classifier: TabularClassifier) -> None:
    assert isinstance(classifier.model_.trained, Ensemble)
    assert len(classifier.model_.networks) == 3


# --- a budget of seconds -------------------------------------------------------------------------


@given(
    st.floats(0.001, 1e4), st.floats(1e-6, 10.0), st.integers(1, 50), st.integers(1, 500),
    st.integers(1, 8),
)  # fmt: skip
def test_a_budget_is_spent_and_not_exceeded(
    seconds: float, per_epoch: float, networks: int, epochs: int, at_a_time: int
) -> None:
    found = affordable(seconds, per_epoch, networks, epochs, at_a_time)

    def takes(count: int, length: int) -> float:
        return math.ceil(count / at_a_time) * length * per_epoch

    assert 1 <= found.networks <= networks
    assert 1 <= found.epochs <= epochs
    assert takes(*found) <= max(seconds, per_epoch) * (1 + 1e-9)
    if found.networks < networks:  # one more of 40 epochs does not fit in
        assert takes(found.networks + 1, min(40, epochs)) > seconds * (1 - 1e-9)
    if found.epochs < epochs:
        assert takes(found.networks, found.epochs + 1) > seconds * (1 - 1e-9)


def test_a_large_budget_changes_nothing(penguins: pd.DataFrame) -> None:
    X, y = penguins.drop(columns="species"), penguins["species"]
    free, bought = (
        TabularClassifier(ensemble=3, max_seconds=seconds, **QUICK).fit(X, y)
        for seconds in (None, 1e6)
    )
    assert bought.predict_proba(X).tobytes() == free.predict_proba(X).tobytes()
    assert bought.oof_score_ == free.oof_score_


def test_a_small_budget_says_what_it_leaves_out(penguins: pd.DataFrame) -> None:
    X, y = penguins.drop(columns="species"), penguins["species"]
    with pytest.warns(UserWarning, match=r"in 0.001 s there is time for 1 of 5 networks, of 1 of"):
        model = TabularClassifier(ensemble=5, max_seconds=0.001).fit(X, y)
    assert len(model.model_.networks) == 1
    with pytest.warns(UserWarning, match=r"ended after 0.001 s, at epoch 1 of at most 500"):
        alone = TabularClassifier(ensemble=1, max_seconds=0.001).fit(X, y)
    assert alone.n_iter_ == 1
    with pytest.warns(UserWarning, match="networks"):
        some = TabularClassifier(ensemble=40, max_seconds=0.4, random_state=3).fit(X, y)
    assert 1 <= len(some.model_.networks) < 40
    assert some.score(X, y) > 0.9


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf"])
def test_a_budget_must_be_above_zero(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(penguins_path()), "--target", "species", "--time", wrong]) == 2
    assert "--time" in capsys.readouterr().err
    with pytest.raises((SpecError, ValueError), match="max_seconds"):
        TabularClassifier(max_seconds=float(wrong)).fit([[1.0]] * 200, ["a", "b"] * 100)


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize("monitor", ["auto", "loss", "score"])
def test_training_stops_at_what_is_watched(
    penguins: pd.DataFrame, ensemble: int, monitor: str
) -> None:
    """It stops after so many epochs without a lower loss, or goes on for a higher accuracy."""
    given = QUICK | {"learning_rate_init": 0.1, "max_iter": 60, "n_iter_no_change": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = TabularClassifier(ensemble=ensemble, monitor=monitor, **given).fit(
            penguins.drop(columns="species"), penguins["species"]
        )
    by_loss = monitor == "loss" or (monitor == "auto" and ensemble == 2)
    for number in range(ensemble):
        network = model.model_.member(number + 1).estimator
        assert network.monitor == ("loss" if by_loss else "auto")
        losses, tol = network.validation_loss_curve_, network.tol
        better = [i for i in range(len(losses)) if losses[i] < min([np.inf, *losses[:i]]) - tol]
        if by_loss:
            assert len(losses) in (better[-1] + 6, 60)  # more than 4 in a row
