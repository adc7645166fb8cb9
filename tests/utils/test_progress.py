"""The progress bar: where it is drawn, what it shows, and what is left as it was."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import deltarule as dr
from deltarule.utils import progress
from deltarule.utils.progress import TerminalBar
from support.estimators import unconverged

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
CODE = """
import warnings; warnings.simplefilter("ignore")
import numpy as np, deltarule as dr
X = np.random.default_rng(0).normal(size=(40, 3)); y = (X[:, 0] > 0).astype(int)
"""

TRAINING = """
net = dr.Network(3, [dr.Dense(1, 'sigmoid')], 'binary_cross_entropy')
dr.train(net, net.initialize(0), X, y, epochs=4, validation=(X, y), progress=True)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def net() -> Any:
    made = dr.Network(3, [dr.Dense(1, "sigmoid")], "binary_cross_entropy")
    return made, made.initialize(0)


def test_the_bar_has_loss_score_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    bar = TerminalBar(4, Console(file=stream, force_terminal=True, width=120))
    monkeypatch.setattr(progress, "_BETWEEN", 0.0)
    bar.update(1, "loss 0.5000  validation score 0.7500")
    shown = stream.getvalue()
    assert "epoch 1/4" in shown
    assert "loss 0.5000  validation score 0.7500" in shown
    assert "left" in shown
    bar.update(2, "loss 0.4000")
    bar.stop()
    bar.stop()
    assert "epoch 2/2" in stream.getvalue()  # the training ended early


def test_train_draws_it_in_terminals_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dr.train(*net(), X, Y, progress=True)
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    history = dr.train(*net(), X, Y, epochs=3, validation=(X, Y), progress=True)
    shown = terminal.getvalue()
    assert "epoch 3/3" in shown
    assert f"validation score {history.validation_score[-1]:#.4g}" in shown
    before = len(shown)
    model, state = net()
    dr.train(model, state, X, Y, optimizer="lbfgs", epochs=4, progress=True)
    assert "loss" in terminal.getvalue()[before:]
    with pytest.raises(dr.errors.SpecError, match="progress must be True or False"):
        dr.train(*net(), X, Y, progress="yes")


def test_the_bar_ends_with_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class Noted:
        def __init__(self) -> None:
            self.stopped = False
            bars.append(self)

        def update(self, done: int, numbers: str) -> None:
            raise KeyError(numbers)

        def stop(self) -> None:
            self.stopped = True

    monkeypatch.setattr(dr.trainer, "progress_bar", lambda total, stream: Noted())
    with pytest.raises(KeyError, match="loss"):
        dr.train(*net(), X, Y, progress=True)
    monkeypatch.setattr(dr.estimators.base, "progress_bar", lambda total, stream: Noted())
    with pytest.raises(KeyError, match="loss"):
        dr.MLPClassifier((2,), verbose=True).fit(X, Y)
    assert [bar.stopped for bar in bars] == [True, True]


def test_verbose_keeps_scikit_learns_lines_where_they_are_piped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = dr.MLPClassifier((2,), max_iter=3, verbose=True, random_state=0)
    with unconverged():
        model.fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == [f"Iteration {i}" for i in (1, 2, 3)]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with unconverged():
        model.fit(X, Y)
        model.partial_fit(X, Y)  # an epoch a call: a line
    shown = terminal.getvalue()
    assert "epoch 3/3" in shown
    assert shown.count("Iteration") == 1


@pytest.mark.timeout(300)
def test_a_notebook_shows_one_bar_and_reports(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        CODE,
        TRAINING,
        "dr.MLPClassifier((2,), max_iter=3, verbose=True).fit(X, y)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=200, resources={"metadata": {"path": tmp_path}}).execute()
    trained, fitted = (cell.outputs for cell in book.cells[1:])
    bar, history = trained
    assert "<progress" in bar["data"]["text/html"]
    assert "epoch 4/4" in bar["data"]["text/html"]
    assert "validation score" in bar["data"]["text/html"]
    assert "<svg" in history["data"]["text/html"]
    bar, model = fitted
    assert "epoch 3/3" in bar["data"]["text/html"]
    assert "deltarule-report" in model["data"]["text/html"]
    assert "Iteration" not in str(fitted)
