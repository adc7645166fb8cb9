"""The command line, from words to files and exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from deltarule import demo
from deltarule.cli.app import app
from deltarule.cli.run import run
from deltarule.cli.signals import Terminated
from deltarule.cli.text_output import TextReporter
from deltarule.datasets import penguins_path
from deltarule.errors import OutputError, TableError
from deltarule.tables import TableModel
from deltarule.version import __version__

QUICK = ["--hidden", "8", "--epochs", "15", "--learning-rate", "0.02"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "penguins.csv").write_bytes(penguins_path().read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model"
    words = ["train", str(penguins_path()), "--target", "species", "-o", str(path), "-q"]
    assert run([*words, *QUICK]) == 0
    return str(path)


def error_of(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run(words) == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


def test_table_and_target_are_enough(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "penguins.csv", "--target", "species", *QUICK]) == 0
    seen = capsys.readouterr()
    assert "classification of 'species': the target holds texts" in seen.out
    assert "rows: 310 training, 34 dev, 0 test" in seen.out
    assert "seeds: 0, from it split 2968811710 and network 3677149159" in seen.out
    assert "saved the model: penguins.safetensors" in seen.out
    assert seen.err == ""  # the bar is for terminals
    assert TableModel.load("penguins.safetensors").provenance.training_rows == 310


def test_a_whole_session(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["penguins.csv", "--target", "species", "--test", "0.2", "--ignore", "year", *QUICK]
    assert run(["train", *words, "--plots", "pictures", "-o", "m"]) == 0
    assert sorted(p.name for p in (here / "pictures").iterdir()) == [
        "confusion-matrix.png",
        "data.png",
        "learning-curve.png",
        "weights.png",
    ]
    assert (here / "pictures" / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert "rows: 241 training, 34 dev, 69 test" in capsys.readouterr().out
    assert run(["evaluate", "m", "penguins.csv"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"penguins.csv +baseline\naccuracy ", out)
    assert "Chinstrap" in out
    assert run(["predict", "m", "penguins.csv", "-o", "p.csv"]) == 0
    columns = ["prediction", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo"]
    assert list(pd.read_csv("p.csv").columns) == columns
    assert run(["predict", "m", "penguins.csv", "-o", "k.csv", "--keep", "-q"]) == 0
    assert list(pd.read_csv("k.csv").columns) == [*pd.read_csv("penguins.csv").columns, *columns]
    assert run(["check", "m", "penguins.csv"]) == 0
    assert "right" in capsys.readouterr().out


def test_a_run_repeats_to_the_bit(here: Path) -> None:
    words = ["train", "penguins.csv", "-t", "body_mass_g", "--seed", "3", "-q", *QUICK]
    assert run([*words, "-o", "a"]) == run([*words, "-o", "b"]) == 0
    assert (here / "a").read_bytes() == (here / "b").read_bytes()


def test_a_test_table_may_be_another_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("penguins.csv")
    frame[::2].to_csv("train.csv", index=False)
    frame[1::2].to_parquet("test.parquet", index=False)
    words = ["train", "train.csv", "-t", "species", "--test", "test.parquet", *QUICK]
    assert run(words) == 0
    assert re.search(r"rows +17 +172\b", capsys.readouterr().out)


def test_a_useless_model_is_called_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["penguins.csv", "-t", "body_mass_g", "--learning-rate", "1e6", "--epochs", "5"]
    assert run(["train", *words]) == 0
    out = capsys.readouterr().out
    assert "note: on the dev rows this is no better than the baseline" in out
    assert "nan" not in out


def test_quiet_prints_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "penguins.csv", "-t", "species", "-q", *QUICK]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_wrong_gradient_exits_1(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Report:
        verdict = "wrong"

    monkeypatch.setattr(TableModel, "check", lambda self, table: Report())
    assert run(["check", model, str(penguins_path())]) == 1


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train none.csv -t x", "no file none.csv"),
        ("train penguins.csv", "Missing option '--target'"),
        ("train penguins.csv -t specie", "did you mean 'species'?"),
        ("train penguins.csv -t species --ignore nothing", "no column 'nothing'"),
        ("train penguins.csv -t species --hidden 10,x", "'10,x' is not a list of widths"),
        ("train penguins.csv -t species --hidden 0", "'0' is not a list of widths"),
        ("train penguins.csv -t species --activation cubic", "'cubic' is not one of 'relu'"),
        ("train penguins.csv -t species --epochs 0", "--epochs"),
        ("train penguins.csv -t species --epochs many", "--epochs"),
        ("train penguins.csv -t species --learning-rate 0", "--learning-rate"),
        ("train penguins.csv -t species --learning-rate nan", "--learning-rate"),
        ("train penguins.csv -t species --alpha -1", "--alpha"),
        ("train penguins.csv -t species --alpha nan", "--alpha"),
        ("train penguins.csv -t species --seed -1", "--seed"),
        ("train penguins.csv -t species --dev 1.5", "--dev and --test"),
        ("train penguins.csv -t species --dev 0.6 --test 0.6", "--dev and --test"),
        ("train penguins.csv -t species --test 2", "--test"),
        ("train penguins.csv -t species --split 1/2", "'1/2' is not a split"),
        ("train penguins.csv -t species --split auto --dev 0.1", "--split"),
        ("train penguins.csv -t species --task regression", "regression cannot learn"),
        ("train penguins.csv -t species --frobnicate 1", "No such option"),
        ("train penguins.csv -t species -o penguins.csv", "penguins.csv is the table itself"),
        ("train penguins.csv -t species -o no/such/m", "there is no folder"),
        ("evaluate none penguins.csv", "no model file none"),
        ("evaluate penguins.csv penguins.csv", "not a deltarule model but text"),
        ("predict none penguins.csv", "Missing option '--output'"),
        ("fly", "No such command"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert re.search(message.replace("?", r"\?"), error_of(capsys, *words.split()))
    assert [path.name for path in here.iterdir()] == ["penguins.csv"]


@pytest.mark.parametrize("name", ["p.parquet", "p.XLSX", "p.json"])
def test_predictions_are_not_written_under_the_name_of_another_format(
    here: Path, model: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    said = error_of(capsys, "predict", model, "penguins.csv", "-o", name)
    assert "choose a name such as p.csv" in said
    assert not (here / name).exists()


def test_outputs_are_not_overwritten_unasked(
    here: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.csv").write_text("precious")
    words = ["predict", model, "penguins.csv", "-o", "p.csv"]
    assert "--overwrite" in error_of(capsys, *words)
    assert (here / "p.csv").read_text() == "precious"
    (here / "link").symlink_to(here / "p.csv")
    assert "symbolic link" in error_of(capsys, *words[:-1], "link", "--overwrite")
    assert (here / "p.csv").read_text() == "precious"
    assert run([*words, "--force", "-q"]) == 0
    (here / "pictures").mkdir()
    (here / "pictures" / "learning-curve.png").write_text("precious")
    train = ["train", "penguins.csv", "-t", "species", "--plots", "pictures"]
    assert "learning-curve.png already exists" in error_of(capsys, *train)
    assert not (here / "penguins.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict m penguins.csv -o m", "m is the model itself"),
        ("predict m penguins.csv -o ./penguins.csv", "penguins.csv is the table itself"),
        ("predict m penguins.csv -o linked.csv", "linked.csv is the table itself"),
        ("predict - penguins.csv -o ./-", "/- is the model itself"),
        ("predict m flights -o flights/p.csv", "is inside the table, flights"),
        ("predict m flights -o flights/more/p.csv", "is inside the table, flights"),
        ("export m m", "m is the model itself"),
        ("train penguins.csv -t y -o penguins.csv", "penguins.csv is the table itself"),
        ("train penguins.csv -t y --test m -o m", "m is the test table itself"),
        ("train flights -t y -o flights/a.csv", "is inside the table, flights"),
        ("train flights -t y --plots flights", "is inside the table, flights"),
        ("train flights -t y --checkpoint flights/run", "is inside the table, flights"),
    ],
)
def test_inputs_are_not_overwritten_even_with_force(
    here: Path, model: str, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    table = here / "penguins.csv"
    (here / "flights" / "more").mkdir(parents=True)
    for copy in ("m", "-"):
        (here / copy).write_bytes(Path(model).read_bytes())
    (here / "flights" / "a.csv").write_bytes(table.read_bytes())
    (here / "linked.csv").hardlink_to(table)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert message in error_of(capsys, *words.split(), "--force")
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda frame: frame.drop(columns="species"), "no column 'species' (the model's target)"),
        (lambda frame: frame.drop(columns="island"), "lacks 1 of the"),
        (lambda frame: frame.assign(year="soon"), "column 'year': 'soon'"),
        (lambda frame: frame.assign(species="Emu"), "'Emu' is none of the classes"),
    ],
)
def test_a_test_table_that_does_not_fit_is_refused_before_training(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], edit: Any,
    message: str, stream: str,
) -> None:  # fmt: skip
    edit(pd.read_csv("penguins.csv")).to_csv("test.csv", index=False)
    monkeypatch.setattr("deltarule.tables.tabular.estimator_for", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("deltarule.cli.inputs.is_large", lambda path: stream == "--stream")
    words = ("train", "penguins.csv", "-t", "species", "--test", "test.csv", stream, *QUICK)
    assert message in error_of(capsys, *words)


@pytest.mark.parametrize("error", [TableError, KeyboardInterrupt, Terminated, OutputError])
def test_what_fails_after_the_training_leaves_the_model(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
) -> None:
    def failing(self: object, parts: object) -> None:
        raise error("no more.") if issubclass(error, Exception) else error()

    monkeypatch.setattr(TextReporter, "scores", failing)
    code = {KeyboardInterrupt: 130, Terminated: 143}.get(error, 2)
    told = error_of(capsys, "train", "penguins.csv", "-t", "species", *QUICK, code=code)
    assert told.endswith("; the model is written: penguins.safetensors\n")
    assert TableModel.load("penguins.safetensors").provenance.training_rows == 310


def test_unseen_categories_are_told_or_refused(
    here: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (here / "penguins.csv").read_text().replace("Dream", "Atlantis")
    (here / "new.csv").write_text(text)
    assert run(["predict", model, "new.csv", "-o", "p.csv"]) == 0
    assert "124 cells hold categories" in capsys.readouterr().out
    words = ["predict", model, "new.csv", "-o", "q.csv", "--unseen", "error"]
    assert "'Atlantis' is a category" in error_of(capsys, *words)
    assert not (here / "q.csv").exists()


def test_a_fault_of_ours_is_one_line_without_debug(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen\nin two lines")

    monkeypatch.setattr("deltarule.cli.inputs.read_table", broken)
    words = ["train", "penguins.csv", "-t", "species"]
    assert "--debug" in error_of(capsys, *words)
    with pytest.raises(RuntimeError):
        run([*words, "--debug"])


def test_interrupts_say_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deltarule.cli.inputs.read_table", interrupted)
    error_of(capsys, "train", "penguins.csv", "-t", "species", code=130)


def test_labels_cannot_move_the_cursor_or_be_taken_for_markup(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{i},{'[red]a' if i % 2 else chr(27) + '[2Jb'}" for i in range(40))
    (here / "odd.csv").write_text(f"x,y\n{rows}\n")
    assert run(["train", "odd.csv", "-t", "y", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]a" in out


# --- help and start-up ---------------------------------------------------------------------------


def test_help_teaches() -> None:
    runner = CliRunner(env={"COLUMNS": "100"})
    whole = runner.invoke(app, ["--help"])
    assert whole.exit_code == 0
    assert "deltarule train penguins.csv --target species" in whole.output
    for command in (
        "train", "describe", "evaluate", "predict", "export", "check", "explain", "plot",
    ):  # fmt: skip
        shown = runner.invoke(app, [command, "--help"])
        assert f"deltarule {command} " in shown.output
        assert command in whole.output
    assert runner.invoke(app, ["--version"]).output == f"deltarule {__version__}\n"


def test_help_is_in_panels() -> None:
    runner = CliRunner(env={"COLUMNS": "100"})
    panels = {
        "train": ["Data", "Network", "Training", "Checkpoints", "Cluster", "Output"],
        "describe": ["Data", "Output"],
        "evaluate": ["Data", "Output"],
        "predict": ["Data", "Output"],
        "export": ["Data", "Output"],
        "check": ["Data", "Output"],
        "explain": ["Data", "Output"],
        "plot": ["Data", "Output"],
    }
    for command, expected in panels.items():
        shown = runner.invoke(app, [command, "--help"]).output
        found = re.findall(r"╭─ (\w+) ─", shown)
        assert found == ["Arguments", "Options", *expected]


def test_why_a_training_stopped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "penguins.csv", "-t", "species", "--hidden", "8", "--overwrite"]
    assert run([*words, "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert "note: Stopped after the 3 epochs of --epochs; the dev score was still rising." in out
    assert "Stochastic Optimizer" not in out
    assert run([*words, "--epochs", "30", "--learning-rate", "0.05"]) == 0
    out = capsys.readouterr().out
    best = re.search(r"kept the parameters of epoch (\d+)", out)
    assert best is not None
    assert f"the dev score was highest after epoch {best[1]}, less than --patience ago." in out


def test_no_words_are_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys, deltarule; before = set(sys.modules)\n"
        "from deltarule.cli.run import run; run(['--version'])\n"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("sklearn", "pandas", "pyarrow", "pydantic", "matplotlib", "scipy"):
        assert f"'{heavy}'" not in loaded


def test_modules_in_the_working_directory_are_not_run(here: Path, model: str) -> None:
    for name in ("csv", "json", "numpy", "pyarrow", "pydantic", "rich", "typer", "typing"):
        (here / f"{name}.py").write_text("open('marker', 'w').close()\nraise SystemExit(99)\n")
    words = ["predict", model, "penguins.csv", "-o", "p.csv", "-q"]
    start = "from deltarule.cli import main; main()"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    for command in (["-P", "-c", start], ["-m", "deltarule"]):
        done = subprocess.run(
            [sys.executable, *command, *words, "--force"],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not (here / "marker").exists()


@pytest.mark.parametrize("options", [QUICK, pytest.param([], marks=pytest.mark.long)])
def test_the_demo_plays_and_plays_again(
    options: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """With one small network; in the long form with the networks that it shows."""
    trains = demo.run
    monkeypatch.setattr(
        demo, "run", lambda words: trains([*words, *(options if words[0] == "train" else [])])
    )
    for _ in range(2):
        assert demo.main(["--output", "out"]) == 0
        out = capsys.readouterr().out
        assert "$ deltarule train" in out
        assert "species         island          bill_length_mm" in out
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "confusion-matrix.png",
        "data.png",
        "learning-curve.png",
        "penguins.safetensors",
        "predictions.csv",
        "some-penguins.csv",
        "weights.png",
    ]
