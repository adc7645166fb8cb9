"""The split by time: which rows are held out, in memory and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule import TabularClassifier, TabularRegressor
from deltarule.cli.run import run
from deltarule.errors import TableError
from deltarule.tables import (
    Plan,
    Prepared,
    ReadOptions,
    Settings,
    Shares,
    TableModel,
    fit,
    open_source,
    prepare,
    read_table,
    score_parts,
)
from deltarule.tables.sources import csv as csv_source
from deltarule.tables.time_split import _boundaries
from support.estimators import unconverged

QUICK = Settings(hidden=(4,), epochs=3)


def sales(path: Path, n: int = 300, **more: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    days = draw.integers(0, 400, n)
    frame = pd.DataFrame({"date": np.datetime64("2021-03-01") + days, "x": draw.normal(size=n)})
    frame["sales"] = 2.5 + frame["x"] + days / 200
    frame = frame.assign(**more)
    frame.to_csv(path, index=False)
    return frame


def parts_of(prepared: Prepared) -> np.ndarray[Any, Any]:
    """Return the number of the part of each row."""
    reader, found = prepared.reader, []
    for piece in reader.source.scan():
        target = piece.table.column(reader.preprocessing.target.name)
        found.append(reader.split.parts(piece, target))
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("kind", "streamed"),
    [("date", False), ("date", True), ("number", True), ("day first", False), ("compact", False)],
)
def test_the_last_rows_are_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool, kind: str
) -> None:
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 3000)
    path = tmp_path / "t.csv"
    frame = sales(path)
    time, reading = frame["date"], ReadOptions()
    if kind == "number":
        frame["date"] = (time - time.min()).dt.days / 4
    elif kind == "day first":
        frame["date"] = time.dt.strftime("%d/%m/%Y")
    elif kind == "compact":
        frame["date"], reading = time.dt.strftime("%Y%m%d"), ReadOptions(date=("date",))
    frame.to_csv(path, index=False)
    source = open_source(path) if streamed else read_table(path)
    prepared = prepare(source, Plan("sales", shares=None, time="date", reading=reading))
    part, facts = parts_of(prepared), prepared.provenance
    assert time[part == 0].max() < time[part == 1].min() <= time[part == 1].max()
    assert time[part == 1].max() < time[part == 2].min()
    counts = np.bincount(part).tolist()
    assert counts == [facts.training_rows, facts.dev_rows, facts.test_rows]
    assert np.abs(np.array(counts) - [180, 60, 60]).max() <= 4  # days with several rows
    assert facts.time is not None
    assert facts.time.column == "date"
    with unconverged():
        model = fit(prepared, QUICK)
    again = TableModel.load(model.save(tmp_path / "m.safetensors"))
    assert again.provenance == facts
    # What evaluate says of the same rows is what training said of its test rows.
    frame[part == 2].to_csv(tmp_path / "later.csv", index=False)
    later = model.evaluate(read_table(tmp_path / "later.csv"))
    assert later.scores == pytest.approx(score_parts(model, prepared)["test"].scores, rel=1e-12)


def test_the_split_is_the_same_for_all_seeds_and_in_files(tmp_path: Path) -> None:
    sales(tmp_path / "t.csv")
    found = [
        parts_of(prepare(source, Plan("sales", shares=shares, seed=seed, time="date"))).tolist()
        for shares in (None, Shares(0.2, 0.2))
        for seed in (0, 5)
        for source in (read_table(tmp_path / "t.csv"), open_source(tmp_path / "t.csv"))
    ]
    assert all(parts == found[0] for parts in found)


@given(
    st.lists(st.integers(0, 12), min_size=3, max_size=60),
    st.floats(0.05, 0.4),
    st.sampled_from([0.0, 0.1, 0.3]),
)
def test_rows_of_one_time_stay_together_near_the_shares(
    times: list[int], dev: float, test: float
) -> None:
    found = _boundaries(np.sort(np.array(times, dtype=float)), Shares(dev, test))
    n, distinct = len(times), len(set(times))
    if found is None:
        assert distinct < 2 + (test > 0)
        return
    dev_from, test_from = found
    later = np.inf if test_from is None else test_from
    training = sum(time < dev_from for time in times)
    held_out = sum(time >= later for time in times)
    assert training > 0
    assert training + held_out < n
    assert (held_out > 0) == (test > 0)
    if test > 0:
        # No other time that leaves two before it is nearer to the share; of two, the later is.
        wanted = max(round(n * test), 2)
        sizes = {b: sum(t >= b for t in times) for b in sorted(set(times))[2:]}
        best = min(sizes, key=lambda b: (abs(sizes[b] - wanted), -b))
        assert later == best


def test_what_is_not_learned_from_can_order_the_rows(tmp_path: Path) -> None:
    sales(tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    plain = prepare(table, Plan("sales", shares=None, time="date"))
    ignored = prepare(table, Plan("sales", shares=None, time="date", ignore=("d*",)))
    no_dates = prepare(
        table, Plan("sales", shares=None, time="date", reading=ReadOptions(dates=False))
    )
    for prepared in (ignored, no_dates):
        assert [column.name for column in prepared.preprocessing.columns] == ["x"]
        assert prepared.provenance.time == plain.provenance.time
        assert parts_of(prepared).tolist() == parts_of(plain).tolist()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_few_rows_without_a_time_are_left_out(tmp_path: Path, streamed: bool) -> None:
    frame = sales(tmp_path / "t.csv")
    frame["date"] = frame["date"].astype(str)
    frame.loc[[3, 50, 299], "date"] = ["unknown", "", "?"]
    frame.loc[[7, 50], "sales"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    source = (open_source if streamed else read_table)(tmp_path / "t.csv")
    prepared = prepare(source, Plan("sales", shares=None, time="date"))
    assert np.flatnonzero(parts_of(prepared) < 0).tolist() == [3, 7, 50, 299]
    assert "2 rows without a time in 'date' were left out" in prepared.notes
    assert "2 rows without a target were left out" in prepared.notes
    facts = prepared.provenance
    assert facts.training_rows + facts.dev_rows + facts.test_rows == 296


@pytest.mark.parametrize("streamed", [False, True])
def test_times_of_rows_without_a_target_do_not_matter(tmp_path: Path, streamed: bool) -> None:
    frame = sales(tmp_path / "t.csv")
    frame.loc[:9, "sales"] = np.nan
    frame.loc[:4, "date"] = pd.NaT
    frame.to_csv(tmp_path / "t.csv", index=False)
    source = (open_source if streamed else read_table)(tmp_path / "t.csv")
    prepared = prepare(source, Plan("sales", shares=None, time="date"))
    assert (parts_of(prepared)[:10] == -1).all()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("change", "plan", "message"),
    [
        ({"date": [None] * 31 + ["2021-01-01"] * 269}, {},
         "line 2, column 'date': the time is missing, as in 31 of 300 rows"),
        ({"date": "2021-01-01"}, {}, "too few different times"),
        ({"date": ["2021-01-01", "2021-01-02"] * 150}, {"shares": None}, "too few different times"),
        ({"date": "monday"}, {}, r"is taken for category \(1\).*--date date"),
        ({"date": None}, {}, "'date' is empty"),
        ({}, {"time": "dat"}, r"no column 'dat' \(given with --split\); did you mean 'date'"),
        ({}, {"time": "sales"}, "'sales' is the target"),
        ({"sales": ["a", "b"] * 149 + ["c", "c"], "date": range(300)}, {}, "no row of class 'c'"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_by_time(
    tmp_path: Path, streamed: bool, change: dict[str, Any], plan: dict[str, Any], message: str
) -> None:
    sales(tmp_path / "t.csv", **change)
    source = (open_source if streamed else read_table)(tmp_path / "t.csv")
    with pytest.raises(TableError, match=message):
        prepare(source, Plan("sales", **{"time": "date", **plan}))


def test_the_command_splits_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = sales(tmp_path / "t.csv")
    train = ["train", "t.csv", "-t", "sales", "--epochs", "2", "--hidden", "4", "-f"]
    assert run([*train, "--split", "time:date"]) == 0
    out = capsys.readouterr().out
    assert "split by the time in 'date': dev from 2021-" in out
    assert ", test from 2022-" in out
    sizes = {}
    for words in (["--test", "0.1"], ["--dev", "0.3"], ["--test", "t.csv"]):
        assert run([*train, "--split", "time:date", *words]) == 0
        out = capsys.readouterr().out
        line = next(line for line in out.splitlines() if line.startswith("rows: "))
        sizes[words[-1]] = [int(word) for word in line.split() if word.isdigit()]
    expected = {"0.1": [240, 30, 30], "0.3": [210, 90, 0], "t.csv": [270, 30, 0]}
    for name, found in sizes.items():
        assert np.abs(np.array(found) - expected[name]).max() <= 3
        assert sum(found) == len(frame)
    assert run([*train, "--split", "time:"]) == 2
    assert "needs the name of a column" in capsys.readouterr().err


def test_time_in_python_is_the_option_of_the_command(tmp_path: Path) -> None:
    frame = sales(tmp_path / "t.csv", kind=["a", "b", "c"] * 100)
    quick: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "time": "date"}
    cases = [
        (TabularRegressor, "sales", {}, []),
        (TabularClassifier, "kind", {"validation_fraction": 0.25}, []),
        (TabularRegressor, "sales", {"ignore": ["date"]}, ["--ignore", "date"]),
        (TabularRegressor, "sales", {"no_dates": True}, ["--no-dates"]),
    ]
    for estimator, target, arguments, options in cases:
        X, y = frame.drop(columns=target), frame[target]
        dev = arguments.get("validation_fraction", 0.1)
        with unconverged():
            model = estimator(**quick, **arguments).fit(X, y)
        words = ["train", tmp_path / "t.csv", "-t", target, "-o", tmp_path / "m", "-f", "-q"]
        words += ["--hidden", "4", "--epochs", "3", "--split", "time:date", "--dev", dev, *options]
        assert run([*map(str, words)]) == 0
        ours = model.save(tmp_path / "ours", overwrite=True)
        assert ours.read_bytes() == (tmp_path / "m").read_bytes()
        time = model.model_.provenance.time
        assert time is not None
        held_out = (frame["date"].to_numpy().astype("M8[s]").astype(float) >= time.dev_from).sum()
        assert held_out == model.model_.provenance.dev_rows


@pytest.mark.parametrize("streamed", [False, True])
def test_a_checkpoint_belongs_to_its_split(tmp_path: Path, streamed: bool) -> None:
    sales(tmp_path / "t.csv", later=np.arange(300)[::-1])
    stream = "--stream" if streamed else "--no-stream"
    train = ["train", str(tmp_path / "t.csv"), "-t", "sales", "--epochs", "2", "-q", "-f", stream]
    train += ["--checkpoint", str(tmp_path / "run"), "-o", str(tmp_path / "m"), "--hidden", "4"]
    assert run([*train, "--split", "time:date"]) == 0
    first = (tmp_path / "m").read_bytes()
    assert run([*train, "--split", "time:date", "--resume"]) == 0
    assert (tmp_path / "m").read_bytes() == first
    assert run([*train, "--split", "time:later", "--resume"]) == 2
