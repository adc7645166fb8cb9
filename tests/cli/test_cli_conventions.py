"""The command line in real processes: streams, JSON, signals, exit codes, completion."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from deltarule import load
from deltarule.cli.json_output import JsonReporter
from deltarule.cli.network_options import Activation
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from deltarule.tables import TabularClassifier
from support.faults import report

QUICK = ("--hidden", "8", "--epochs", "15", "--learning-rate", "0.02")
TRAIN = ("train", "penguins.csv", "--target", "species", *QUICK)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "deltarule", *map(str, words)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def deltarule(*words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*words), input=stdin, capture_output=True, check=False, env=environment(),
        timeout=250,
    )  # fmt: skip


def one_object(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 1
    return json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    (place / "penguins.csv").write_bytes(penguins_path().read_bytes())
    return place


@pytest.fixture(scope="module")
def trained(folder: Path) -> tuple[Path, dict[str, Any]]:
    done = deltarule(
        "train", folder / "penguins.csv", *TRAIN[2:], "--test", "0.2", "-o", folder / "m", "--json"
    )
    assert done.stderr == b""
    return folder / "m", one_object(done)


@pytest.fixture
def here(folder: Path, trained: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_json_of_every_command(
    here: Path, trained: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Training in a process of its own, the others here."""

    def said(*words: str) -> dict[str, Any]:
        assert run([*words, "--json"]) == 0
        out = capfd.readouterr().out
        assert out.count("\n") == 1
        return json.loads(out, parse_constant=lambda name: pytest.fail(name))

    model, result = trained
    assert result["command"] == "train"
    assert result["rows"] == {"training": 241, "dev": 34, "test": 69}
    assert result["classes"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert result["seeds"]["seed"] == 0
    assert result["network"]["widths"][1:] == [8, 3]
    assert result["model"] == str(model)
    assert 0 < result["scores"]["test"]["accuracy"] <= 1
    assert set(result["scores"]["test"]["classes"]) == set(result["classes"])
    evaluated = said("evaluate", "m", "penguins.csv")
    assert evaluated["scores"]["penguins.csv"]["rows"] == 344
    assert said("check", "m", "penguins.csv")["verdict"] == "right"
    predicted = said("predict", "m", "penguins.csv", "-o", "j.csv")
    assert predicted["predictions"] == 344
    assert predicted["output"] == "j.csv"


def test_quiet_is_silence(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (
        ("evaluate", "m", "penguins.csv"),
        ("check", "m", "penguins.csv"),
        ("predict", "m", "penguins.csv", "-o", "q.csv"),
    ):
        assert run([*words, "--quiet"]) == 0
        assert capfd.readouterr() == ("", "")
        again = ["--force"] if "-o" in words else []
        assert run([*words, "--quiet", "--json", *again]) == 0
        assert json.loads(capfd.readouterr().out)["command"] == words[0]


def test_dash_is_a_stream_on_both_sides(here: Path) -> None:
    table = (here / "penguins.csv").read_bytes()
    assert run(["predict", "m", "penguins.csv", "-o", "file.csv", "-q"]) == 0
    done = deltarule("predict", "m", "-", "-o", "-", stdin=table)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (here / "file.csv").read_bytes()
    assert done.stderr == b"wrote 344 predictions: the standard output\n"
    assert not (here / "-").exists()


def test_a_file_called_dash_is_named_with_its_folder(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(trained[0])
    (tmp_path / "-").write_bytes(penguins_path().read_bytes())
    assert run(["predict", model, "./-", "-o", "p.csv"]) == 0
    assert run(["predict", model, str(penguins_path()), "-o", "q.csv"]) == 0
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()
    (tmp_path / "-").unlink()
    assert run(["predict", model, "p.csv", "-o", "./-"]) == 2  # lacks columns: nothing is written
    assert run(["predict", model, str(penguins_path()), "-o", "./-"]) == 0
    assert (tmp_path / "-").read_bytes() == (tmp_path / "p.csv").read_bytes()
    assert f"wrote 344 predictions: {tmp_path / '-'}" in capsys.readouterr().out


@pytest.mark.long
def test_a_model_through_a_pipe_is_the_file(here: Path) -> None:
    table = (here / "penguins.csv").read_bytes()
    done = deltarule("train", "-", *TRAIN[2:], "--test", "0.2", "-o", "-", "-q", stdin=table)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (here / "m").read_bytes()


def told(monkeypatch: pytest.MonkeyPatch, data: bytes, *words: str) -> tuple[int, str]:
    """Run a command here, with some bytes on its standard input."""
    stdin, err = io.TextIOWrapper(io.BytesIO(data)), io.StringIO()
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stderr", err)
    return run(words), err.getvalue()


def test_a_stream_that_cannot_be_copied_is_told_in_a_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(source: io.BufferedIOBase, file: io.BufferedIOBase) -> None:
        monkeypatch.setattr(file, "flush", refuse)
        file.write(source.read(10))
        refuse()

    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deltarule.cli.inputs.shutil.copyfileobj", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, err = told(monkeypatch, b"a,b\n1,2\n", "evaluate", "m", "-")
    assert code == 2
    assert err.startswith("error: cannot copy the standard input to a temporary file: No space")
    assert "TMPDIR" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_faults_in_a_stream_name_the_stream_and_the_line(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (here / "penguins.csv").read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(lines[5].split(b",")[2], b"oops", 1)
    for data, message in (
        (b"a,b\n1,2\n3\n", "standard input, line 3"),
        (b"".join(lines), "standard input, line 6"),
        (b"", "standard input is empty"),
    ):
        code, err = told(monkeypatch, data, "evaluate", "m", "-")
        assert code == 2
        assert err.startswith(f"error: {message}")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "-", "-t", "species"), "has no name"),
        (("predict", "m", "-", "-o", "-", "--json"), "not both"),
        (("predict", "-", "penguins.csv", "-o", "x.csv"), "no model file -"),
    ],
)
def test_streams_that_cannot_be(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    code, err = told(monkeypatch, b"", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


LONG = pytest.mark.long


@pytest.mark.parametrize("after", [1, pytest.param(0, marks=LONG), pytest.param(10, marks=LONG)])
def test_a_reader_that_leaves_takes_no_model_with_it(here: Path, after: int) -> None:
    output = here / f"left-{after}"
    read, write = os.pipe()
    with subprocess.Popen(
        command(*TRAIN, "-o", output), stdout=write, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(write)
        os.read(read, after)
        os.close(read)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(timeout=250) == 0
    assert type(load(output)) is TabularClassifier


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "m", "penguins.csv", "-o", "-", "--keep"),
        ("evaluate", "m", "penguins.csv"),
        pytest.param(("evaluate", "m", "penguins.csv", "--json"), marks=LONG),
        pytest.param(("--help",), marks=LONG),
    ],
)
def test_a_reader_that_leaves_is_no_error(here: Path, words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command(*words), stdout=write, stderr=subprocess.PIPE, env=environment(), check=False,
        timeout=250,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full disk")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*TRAIN, "-o", "full"), "cannot write to the standard output: No space left"),
        (("--help",), "the disk is full"),
        pytest.param(
            ("evaluate", "m", "penguins.csv", "--json"),
            "cannot write to the standard output",
            marks=LONG,
        ),
        pytest.param(
            ("predict", "m", "penguins.csv", "-o", "-"),
            "cannot write to the standard output",
            marks=LONG,
        ),
    ],
)
def test_a_full_disk_is_told_in_a_line(here: Path, words: tuple[str, ...], message: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, env=environment(), check=False,
            timeout=250,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}".encode())
    assert done.stderr.count(b"\n") == 1


def test_a_stream_of_any_encoding_takes_everything(here: Path) -> None:
    done = subprocess.run(
        command(*TRAIN, "-o", "ascii"), capture_output=True, check=False, timeout=250,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2192 8 \\u2192 3" in done.stdout


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    results = JsonReporter("train")
    results.wrote("model", "r\u00e9sum\u00e9 \U0001f427")
    results.end()
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["model"] == "r\u00e9sum\u00e9 \U0001f427"


def test_progress_is_for_terminals(here: Path) -> None:
    silent = deltarule(*TRAIN, "-o", "n1")
    assert silent.stderr == b""
    assert b"\x1b" not in silent.stdout
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command(*TRAIN, "-o", "n2"), stdout=subprocess.PIPE, stderr=child,
        env={**environment(), "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(child)
    seen = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(parent)
    out = process.communicate(timeout=250)[0]
    assert process.returncode == 0
    assert b"epoch" in seen
    assert b"\x1b" not in out
    assert (here / "n1").read_bytes() == (here / "n2").read_bytes()


def start_long_training(folder: Path, output: str) -> subprocess.Popen[bytes]:
    """Start a training that takes minutes, and wait until its epochs have begun."""
    process = subprocess.Popen(
        command(
            "train", "penguins.csv", "-t", "species", "-o", output, "--epochs", "1000000",
            "--patience", "1000000", "--hidden", "64",
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    while b"seeds:" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(3)
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signals_end_it_soon_and_in_order(here: Path, number: signal.Signals, code: int) -> None:
    output = f"after-{code}"
    process = start_long_training(here, output)
    before = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=250)
    assert process.returncode == code
    assert err.startswith(b"note: " if number == signal.SIGINT else b"error: ")
    assert err.count(b"\n") == 1
    assert time.monotonic() - before < 60  # seconds where the machine is busy; the rest is margin
    assert not list(here.glob(".deltarule-*"))
    if number == signal.SIGINT:  # the best network so far is saved
        assert type(load(here / output)) is TabularClassifier
    else:
        assert not (here / output).exists()


def test_completion_of_words_and_options(here: Path) -> None:
    asked = {**environment(), "_DELTARULE_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    for words, at, expected in (
        ("deltarule tr", "1", {"train"}),
        ("deltarule train --hid", "2", {"--hidden"}),
        ("deltarule evaluate m penguins.csv --unseen ", "5", {"other", "error"}),
    ):
        done = subprocess.run(
            command(), capture_output=True, text=True, check=False,
            env=asked | {"COMP_WORDS": words, "COMP_CWORD": at},
        )  # fmt: skip
        assert set(done.stdout.split()) == expected, done.stderr


# --- what must not be overwritten, imported or run -----------------------------------------------


def test_outputs_are_kept_without_force(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "precious").write_text("precious")
    (here / "link").symlink_to("precious")
    (here / "dangling").symlink_to("nowhere")
    cases = [
        *(("precious",), ("penguins.csv",), ("link",), ("dangling",), ("../none/p.csv",)),
        *(("link", "--force"), ("dangling", "--force"), ("..", "--force"), (".", "--force")),
    ]
    kept = 0
    for words in cases:
        before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
        code, err = told(monkeypatch, b"", "predict", "m", "penguins.csv", "-o", *words)
        assert (code, err.count("\n")) == (2, 1)
        kept += before == {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    assert kept == len(cases)
    assert deltarule("predict", "m", "penguins.csv", "-o", "precious", "-f").returncode == 0
    assert (here / "precious").read_bytes().startswith(b"prediction,")
    report("outputs", tried=len(cases), kept=kept)


def test_modules_in_the_working_directory_are_not_imported(here: Path, tmp_path: Path) -> None:
    for name in ("csv", "numpy", "json", "typer", "pyarrow", "rich", "skops", "deltarule"):
        text = f"open({str(tmp_path / 'marker')!r}, 'w').close()\nraise SystemExit(99)\n"
        (tmp_path / f"{name}.py").write_text(text)
    script = Path(sys.executable).parent / "deltarule"
    words = ["evaluate", str(here / "m"), str(here / "penguins.csv")]
    starts = [[sys.executable, "-P", "-c", "from deltarule.cli import main; main()"]]
    starts += [[str(script)]] if script.exists() else []
    for start in starts:
        done = subprocess.run(
            [*start, *words], cwd=tmp_path, capture_output=True, check=False, env=environment()
        )
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "marker").exists()
    report("shadows", runs=len(starts))


def test_formulas_are_quoted_on_request(here: Path) -> None:
    with open(here / "penguins.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[:7]
    bad = ["note", "=1+1", "+cmd|' /C calc'!A0", "-a", "@SUM(A1)", "\t=1", "plain"]
    with open(here / "f.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*row, cell] for row, cell in zip(rows, bad, strict=True))
    words = ("predict", "m", "f.csv", "-o", "-", "--keep", "-q", "--escape-formulas")
    text = deltarule(*words).stdout.decode()
    cells = [row["note"] for row in csv.DictReader(io.StringIO(text))]
    assert cells[:4] == ["'=1+1", "'+cmd|' /C calc'!A0", "'-a", "'@SUM(A1)"]
    assert cells[-1] == "plain"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)
    report("formulas", cells=4, quoted=4)


def test_every_activation_of_the_estimators_is_an_option() -> None:
    """What a search reports can be given to ``train``."""
    names = TabularClassifier._parameter_constraints["activation"][0].options
    assert {one.value for one in Activation} == set(names)
