"""Training, scoring and predicting without holding the table."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from deltarule import Adam, Checkpoint, Dense, Network
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from deltarule.engine import Engine
from deltarule.errors import CheckpointError, DataError, OutputError, TableError
from deltarule.program import Block
from deltarule.storage import encode, write_chunks
from deltarule.tables import (
    Plan,
    PredictionsCsv,
    Settings,
    Shares,
    Source,
    TableModel,
    fit,
    open_source,
    prepare,
    read_table,
    score_parts,
)
from deltarule.tables.batches import ExampleReader
from deltarule.tables.sources import csv as csv_source
from deltarule.tables.sources.dataset import Dataset
from deltarule.tables.table import Piece
from deltarule.training.data import EpochIterator, StreamedBlock, advance
from support import networks as support
from support.checkpoints import Cut, in_a_fork, kill, policy
from support.faults import report
from support.limits import limited
from support.tables import learned

QUICK = Settings(hidden=(8,), epochs=15, learning_rate=0.02)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 4096)


def fitted(path: Path, plan: Plan, settings: Settings) -> TableModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(prepare(open_source(path), plan), settings)


@pytest.fixture(scope="module")
def penguins_model() -> TableModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "CHUNK_BYTES", 4096)
        return fitted(penguins_path(), Plan("species", shares=Shares(0.1, 0.2)), QUICK)


def houses(folder: Path, rows: int = 900) -> Path:
    """A regression with every kind of column, in three files."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": rng.normal(100, 30, rows).round(1),
            "kind": rng.choice(["flat", "house", "rare"], rows, p=[0.6, 0.395, 0.005]),
            "new": rng.choice(["true", "false", ""], rows),
        }
    )
    price = 2 * frame["area"] + 30 * (frame["kind"] == "house") + rng.normal(0, 3, rows)
    frame["price"] = price.round(2)
    frame.loc[rng.random(rows) < 0.1, "area"] = None
    frame.loc[rng.random(rows) < 0.05, "price"] = None
    folder.mkdir(exist_ok=True)
    for number in range(3):
        frame.iloc[number::3].to_csv(folder / f"{number}.csv", index=False)
    return folder


# --- the seat in the training loop ---------------------------------------------------------------


@support.proves(
    short=10,
    full=300,
    n=st.integers(2, 60),
    batch=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    begin=st.integers(0, 59),
)
def test_steps_through_a_stream_are_steps_on_the_rows_in_one_piece(
    n: int, batch: int, cuts: list[int], begin: int
) -> None:
    """To the bit, wherever blocks end, and when a run begins in mid-epoch."""
    net = Network(3, [Dense(4, "tanh"), Dense(1)], loss="squared_error")
    data = support.random_data(net, n, seed=0)
    block = Block(data.x, data.y)
    order = support.one_order(np.arange(n), batch, 0.01)
    begin = min(begin, order.n_batches - 1)
    bounds = [0, *sorted(min(cut, n) for cut in cuts), n]
    pieces = [block.take(slice(a, b)) for a, b in pairwise(bounds)]
    states = [support.random_state(net, 1) for _ in range(2)]
    engine = Engine(net.tape, Adam())
    losses: list[list[float]] = [[], []]
    for state, rows, seen in zip(states, (block, EpochIterator(iter(pieces))), losses, strict=True):
        while begin + len(seen) < order.n_batches:
            steps = range(begin + len(seen), order.n_batches)
            seen += advance(engine, state, rows, order, steps).loss.tolist()
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(states[0].theta, states[1].theta)


def test_a_stream_that_ends_early_says_so() -> None:
    net = Network(3, [Dense(1)], loss="squared_error")
    block = support.random_data(net, 10, seed=0).block
    stream = StreamedBlock(12, lambda epoch: iter([block]), block)
    order = support.one_order(np.arange(12), 4, 0.01)
    with pytest.raises(DataError, match="the stream ended before its epoch"):
        stream.of_epoch(0).at(order, 2)


# --- what one pass learns ------------------------------------------------------------------------


def test_the_record_is_that_of_the_rows_in_memory(tmp_path: Path) -> None:
    folder = houses(tmp_path / "houses")
    plan = Plan("price", shares=Shares(0.2, 0.1))
    prepared = prepare(open_source(folder), plan)
    table = _joined_table(folder, tmp_path)
    part = prepared.reader.split.parts(Piece(table, 0), table.column("price"))
    there = np.array([text != "" for text in table.columns["price"].to_pylist()])
    assert ((part >= 0) == there).all()
    expected = learned(table, np.flatnonzero(part == 0))
    for column, wanted in zip(prepared.preprocessing.columns, expected, strict=False):
        assert column.kind == wanted.kind
        if column.kind == "category":
            assert column == wanted
            continue
        assert (column.fill, column.flag) == (wanted.fill, wanted.flag)
        np.testing.assert_allclose(column.mean, wanted.mean, rtol=1e-12)
        np.testing.assert_allclose(column.scale, wanted.scale, rtol=1e-12)
    facts = prepared.provenance
    counts = np.bincount(part[there], minlength=3).tolist()
    assert [facts.training_rows, facts.dev_rows, facts.test_rows] == counts
    assert len(prepared.dev.y) == facts.dev_rows
    y = table.columns["price"].filter(pa.array(there & (part == 0))).cast("float64").to_numpy()
    np.testing.assert_allclose(prepared.preprocessing.target.mean, y.mean(), rtol=1e-12)
    np.testing.assert_allclose(prepared.preprocessing.target.scale, y.std(), rtol=1e-12)


def _joined_table(folder: Path, place: Path) -> Any:
    files = sorted(folder.iterdir())
    text = files[0].read_text() + "".join(f.read_text().split("\n", 1)[1] for f in files[1:])
    (place / "joined.csv").write_text(text)
    return read_table(place / "joined.csv")


def test_an_epoch_has_every_training_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    reading = prepare(open_source(houses(tmp_path / "h")), Plan("price")).reader

    def rows(reading: ExampleReader, number: int) -> list[Any]:
        blocks = list(reading.epoch(number, 100))
        assert {len(block.y) for block in blocks[:-1]} == {100}
        return [tuple(row) for block in blocks for row in np.column_stack([block.X, block.y])]

    plain = [
        tuple(row)
        for piece in reading.part("training")
        for row in np.column_stack([piece.X, piece.y])
    ]
    first, again, second = rows(reading, 0), rows(reading, 0), rows(reading, 1)
    assert first == again
    assert sorted(first) == sorted(second) == sorted(plain)
    assert first != second
    assert first != plain


LAST = 700
BAD = {
    "a text": ("area", "oops", "'oops' is not a number, but"),
    "a comma": ("area", '"1,5"', "'1,5' is not a number"),
    "an infinity": ("area", "1e999", "'1e999' is not a finite number"),
    "a target": ("price", "much", "'much' is not a number"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_cell_at_the_end_is_an_error_with_its_place(tmp_path: Path, name: str) -> None:
    column, text, message = BAD[name]
    lines = ["area,price", *(f"{i}.5,{i % 50}.25" for i in range(LAST))]
    cells = {"area": "1.5", "price": "2.5"} | {column: text}
    (tmp_path / "t.csv").write_text("\n".join([*lines, f"{cells['area']},{cells['price']}"]) + "\n")
    with pytest.raises(TableError, match=f"line {LAST + 2}, column '{column}': {message}"):
        prepare(open_source(tmp_path / "t.csv"), Plan("price"))


@pytest.mark.parametrize(
    ("text", "plan", "message"),
    [
        ("a,y\n" + "1,x\n" * 40, Plan("y"), "is 'x' in every row"),
        ("a,y\n" + "1,\n" * 40, Plan("y"), "is empty in every row"),
        ("a,y\n" + "1,1.5\n" * 40, Plan("y"), "is 1.5 in every row"),
        ("a,y\n1,x\n2,z\n1,x\n2,z\n", Plan("y"), "fell into the"),
        ("a,y\n" + "1,x\n2,z\n" * 40, Plan("q"), "no column 'q'"),
        ("a,y\n" + "1,x\n2,z\n" * 40, Plan("y", ignore=("a",)), "no column left"),
        ("a,y\n" + "1,x\n2,z\n" * 40, Plan("y", "regression"), "regression cannot learn"),
        ("a,y\n" + "".join(f"K{i},{i % 2}\n" for i in range(99)), Plan("y"), "like an id"),
        ("a,y\n" + "".join(f"1,{i}.5\n" for i in range(1500)), Plan("y", "classification"),
         "has more than 1000 classes"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_learned(tmp_path: Path, text: str, plan: Plan, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        prepare(open_source(tmp_path / "t.csv"), plan)


@pytest.mark.parametrize(("rare", "rows"), [("w", 1), ("w", 2), ("7", 1)])
def test_a_class_of_few_rows_is_for_training(tmp_path: Path, rare: str, rows: int) -> None:
    """Wherever its rows fall, as in memory; every other row stays in its part."""
    names = ("1", "2") if rare == "7" else ("x", "z")
    common = "".join(f"{i},{names[i % 2]}\n" for i in range(200))
    noted = 0
    for seed in range(12):
        path = tmp_path / f"{seed}.csv"
        path.write_text("a,y\n" + common + f"1,{rare}\n" * rows)
        prepared = prepare(open_source(path), Plan("y", shares=Shares(0.3, 0.3), seed=seed))
        reader = prepared.reader
        parts = {part: reader.whole_part(part) for part in ("training", "dev", "test")}
        record = prepared.preprocessing.target
        assert record.task == "classification"
        code = record.labels.index(rare)
        counts = {part: int((examples.y == code).sum()) for part, examples in parts.items()}
        assert sum(counts.values()) == rows
        assert counts["training"] >= 1
        note = f"all rows of class '{rare}' are for training"
        noted += any(note in text for text in prepared.notes)
        in_memory = prepare(read_table(path), Plan("y", shares=Shares(0.3, 0.3), seed=seed))
        assert any(note in text for text in in_memory.notes) == (rows == 1)
        assert sum(len(examples.y) for examples in parts.values()) == 200 + rows
        assert len(prepared.dev.y) == len(parts["dev"].y)
    assert noted


# --- the model -----------------------------------------------------------------------------------


def test_quality_is_that_of_a_training_in_memory() -> None:
    """Parts differ by chance: compared is the mean accuracy over seeds, on test parts of 69."""
    streamed, held = [], []
    for seed in range(3):
        plan = Plan("species", shares=Shares(0.1, 0.2), seed=seed)
        prepared = prepare(open_source(penguins_path()), plan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(prepared, QUICK)
            in_memory = prepare(read_table(penguins_path()), plan)
            other = fit(in_memory, QUICK)
        streamed.append(score_parts(model, prepared)["test"].scores["accuracy"])
        held.append(score_parts(other, in_memory)["test"].scores["accuracy"])
    assert np.mean(streamed) > 0.95
    assert abs(np.mean(streamed) - np.mean(held)) < 0.03


def test_a_table_is_read_no_more_often_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    scan = Dataset.scan
    monkeypatch.setattr(Dataset, "scan", lambda self: passes.append(1) or scan(self))
    source = open_source(houses(tmp_path / "h"))
    for plan, held_out in ((Plan("price"), 1), (Plan("price", shares=Shares(0.1, 0.1)), 2)):
        passes.clear()
        prepared = prepare(source, plan)
        assert len(passes) == 2  # the profile, and the dev rows to be watched
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the epochs were over
            model = fit(prepared, Settings(hidden=(2,), epochs=2))
        assert len(score_parts(model, prepared)) == held_out
        assert len(passes) == 2 + held_out


def test_a_seed_repeats_a_run_to_the_bit(tmp_path: Path) -> None:
    folder = houses(tmp_path / "h")
    files = [
        fitted(folder, Plan("price", seed=seed), QUICK).save(tmp_path / f"{k}.safetensors")
        for k, seed in enumerate((3, 3, 4))
    ]
    first, second, other = (file.read_bytes() for file in files)
    assert first == second != other


def test_the_model_is_one_like_any_other(penguins_model: TableModel, tmp_path: Path) -> None:
    path = penguins_model.save(tmp_path / "m.safetensors")
    table = read_table(penguins_path())
    again = TableModel.load(path)
    np.testing.assert_array_equal(
        again.predict(table).probabilities, penguins_model.predict(table).probabilities
    )
    assert again.check(table).verdict == "right"


def test_regression_learns_in_the_users_unit(tmp_path: Path) -> None:
    source = open_source(houses(tmp_path / "h"))
    prepared = prepare(source, Plan("price", shares=Shares(0.1, 0.2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(prepared, Settings((16,), epochs=60, learning_rate=0.01, patience=70))
    scores = score_parts(model, prepared)["test"].scores
    assert scores["r2"] > 0.75
    assert "rows without a target were left out" in " ".join(prepared.notes)


@pytest.mark.parametrize("chunk", [700, 5000, 2**20])
def test_streamed_predictions_are_those_in_memory_to_the_bit(
    penguins_model: TableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    regression = fitted(houses(tmp_path / "h"), Plan("price"), QUICK)
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", chunk)
    cases = ((penguins_model, penguins_path()), (regression, tmp_path / "joined.csv"))
    _joined_table(tmp_path / "h", tmp_path)
    for model, path in cases:
        for keep in (False, True):
            table = read_table(path)
            whole = b"".join(PredictionsCsv(model, table, keep=keep))
            streamed = PredictionsCsv(model, open_source(path), keep=keep)
            assert b"".join(streamed) == whole
            assert streamed.rows == table.rows
            assert streamed.seen.sentences() == model.predict(table).notes


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_streamed_scores_are_those_in_memory(
    penguins_model: TableModel, tmp_path: Path, task: str
) -> None:
    model, path = penguins_model, penguins_path()
    if task == "regression":
        model = fitted(houses(tmp_path / "h"), Plan("price"), QUICK)
        path = _joined_table(tmp_path / "h", tmp_path).path
    streamed, whole = model.evaluate(open_source(path)), model.evaluate(read_table(path))
    assert streamed.scores == pytest.approx(whole.scores, rel=1e-12)
    assert streamed.classes == [pytest.approx(score) for score in whole.classes]
    assert (streamed.rows, streamed.notes) == (whole.rows, whole.notes)
    np.testing.assert_array_equal(streamed.y_pred, whole.y_pred)
    np.testing.assert_array_equal(streamed.y_true, whole.y_true)


def test_unseen_categories_are_counted_over_all_pieces(
    penguins_model: TableModel, tmp_path: Path
) -> None:
    text = penguins_path().read_text().replace("Torgersen", "Atlantis")
    (tmp_path / "t.csv").write_text(text)
    streamed = PredictionsCsv(penguins_model, open_source(tmp_path / "t.csv"))
    table = read_table(tmp_path / "t.csv")
    whole = penguins_model.predict(table)
    assert b"".join(streamed) == b"".join(PredictionsCsv(penguins_model, table))
    assert streamed.seen.sentences() == whole.notes
    assert f"{text.count('Atlantis')} cells" in whole.notes[0]
    with pytest.raises(TableError, match="'Atlantis' is a category that training did not see"):
        list(PredictionsCsv(penguins_model, open_source(tmp_path / "t.csv"), "error"))


# --- files written on the way --------------------------------------------------------------------


def test_chunks_become_a_file_completely_or_not_at_all(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"first"
        raise TableError("no more")

    target = tmp_path / "out.csv"
    with pytest.raises(TableError, match="no more"):
        write_chunks(target, failing())
    assert list(tmp_path.iterdir()) == []
    write_chunks(target, iter([b"a", b"b"]))
    assert target.read_bytes() == b"ab"
    with pytest.raises(OutputError, match="already exists"):
        write_chunks(target, iter([b"c"]))
    with pytest.raises(TableError):
        write_chunks(target, failing(), overwrite=True)
    assert target.read_bytes() == b"ab"
    write_chunks(target, iter([]), overwrite=True)
    assert target.read_bytes() == b""


# --- the command line ----------------------------------------------------------------------------


def test_a_session_on_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    houses(tmp_path / "houses")
    quick = ["--hidden", "8", "--epochs", "3"]
    assert run(["train", "houses", "--target", "price", "--test", "0.2", *quick]) == 0
    seen = capsys.readouterr().out
    assert "houses: 900 rows; 3 columns give 7 inputs" in seen
    assert "the table stays in its files" in seen
    assert run(["evaluate", "houses.safetensors", "houses"]) == 0
    assert run(["predict", "houses.safetensors", "houses", "-o", "out.csv", "--keep"]) == 0
    assert "wrote 900 predictions" in capsys.readouterr().out
    kept = pd.read_csv("out.csv")
    assert list(kept.columns) == ["area", "kind", "new", "price", "prediction"]
    assert run(["train", "houses", "--target", "price", "--no-stream", "-f", *quick]) == 0
    seen = capsys.readouterr().out
    assert "houses: 900 rows; 3 columns give 7 inputs" in seen
    assert "the table stays in its files" not in seen


def test_the_option_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", str(penguins_path()), "--target", "species", "--hidden", "4", "--epochs", "2"]
    for number, (option, streams) in enumerate([("", False), ("--stream", True)]):
        assert run([*words, *option.split(), "-o", f"{number}"]) == 0
        assert ("stays in its files" in capsys.readouterr().out) is streams
    monkeypatch.setattr("deltarule.tables.sources.dataset.free_memory", lambda: 10_000)
    for number, (option, streams) in enumerate([("", True), ("--no-stream", False)], start=2):
        assert run([*words, *option.split(), "-o", f"{number}"]) == 0
        assert ("stays in its files" in capsys.readouterr().out) is streams


def test_an_error_on_the_way_writes_nothing(
    penguins_model: TableModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    penguins_model.save(tmp_path / "m")
    lines = penguins_path().read_text().splitlines()
    cells = lines[-1].split(",")
    cells[2] = "long"  # bill_length_mm
    (tmp_path / "t.csv").write_text("\n".join([*lines, ",".join(cells)]) + "\n")
    before = set(tmp_path.iterdir())
    out = str(tmp_path / "out.csv")
    assert run(["predict", str(tmp_path / "m"), str(tmp_path / "t.csv"), "-o", out]) == 2
    assert f"line {len(lines) + 1}, column 'bill_length_mm'" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_training_killed_in_mid_epoch_goes_on_to_the_same_file(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rng = np.random.default_rng(0)
    with table.open("w") as file:
        file.write("a,b,y\n")
        file.writelines(f"{a},{b},{a * b}\n" for a, b in rng.normal(size=(3000, 2)))

    def trained(points: Checkpoint | None, alpha: float = 0.3) -> bytes:
        prepared = prepare(open_source(table), Plan("y", seed=4))
        settings = Settings(hidden=(8,), epochs=4, batch_size=64, alpha=alpha, checkpoint=points)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the epochs were over
            return encode(fit(prepared, settings).to_model_record())

    with Cut(0, None) as cut:
        expected = trained(None)
    for share in (0.3, 0.8):
        points = policy(tmp_path / f"run {share}", True)

        def killed(points: Checkpoint = points, at: int = int(share * cut.looks)) -> None:
            with Cut(at, kill):
                trained(points)

        status, _ = in_a_fork(killed)
        assert os.WIFSIGNALED(status)
        with pytest.raises(CheckpointError, match=r"alpha was 0\.3 and is 0\.1"):
            trained(points, alpha=0.1)
        assert trained(points) == expected
    table.write_text(table.read_text() + "1,2,2\n")
    with pytest.raises(CheckpointError, match="the table"):
        trained(points)


# --- more than memory ----------------------------------------------------------------------------


def numbers(path: Path, rows: int, columns: int) -> Path:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    y = np.where(X[:, 0] * X[:, 1] + X[:, 2] > 0, "yes", "no")
    names = [f"x{number}" for number in range(columns)]
    table = pa.table({**dict(zip(names, X.T, strict=True)), "y": y})
    pq.write_table(table, path, row_group_size=20_000)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize(
    ("most", "whole"),
    [(64, False), pytest.param(384, True, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_a_table_of_four_times_the_memory(tmp_path: Path, most: int, whole: bool) -> None:
    """The limit is on the process's data, in the long form all of it; in the short form beyond what
    imports take, with a shuffle buffer and a table that are scaled down like it.

    The table has numbers that do not compress, of four times the limit in all: copies of one file.
    """
    columns, rows = 16, 100_000
    first = numbers(tmp_path / "first.parquet", rows, columns)
    warm = numbers(tmp_path / "warm.parquet", 2000, columns)
    folder = tmp_path / "table"
    folder.mkdir()
    copies = -(-4 * most * 2**20 // (8 * rows * columns))
    for number in range(copies):
        os.link(first, folder / f"{number:03}.parquet")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size > 4 * most * 2**20
    quick = ("--target", "y", "--hidden", "8", "--epochs", "1", "-o")
    begin = "" if whole else warm
    words = ("train", folder, *quick, tmp_path / "m")
    done = limited(most * 2**20, begin, *words)
    assert done.returncode == 0, done.stderr.decode()
    model = TableModel.load(tmp_path / "m")
    facts = model.provenance
    assert facts.training_rows + facts.dev_rows == copies * rows
    assert max(model.estimator.validation_scores_) > 0.6
    # the same table, at once: one line
    joined = pa.concat_tables([pq.read_table(first)] * copies)
    pq.write_table(joined, tmp_path / "joined.parquet", row_group_size=20_000)
    one = ("train", tmp_path / "joined.parquet", *quick, tmp_path / "n", "--no-stream")
    done = limited(most * 2**20, begin, *one)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"memory" in done.stderr
    assert not (tmp_path / "n").exists()
    report("larger than memory", megabytes=size // 2**20, limit=most, trained=1)


def test_sources_are_public() -> None:
    assert isinstance(open_source(penguins_path()), Source)
