"""Tables that the workers of a cluster read: the model of one process, to the byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from deltarule.cli.run import run
from deltarule.errors import TableError
from deltarule.tables import Plan, Settings, fit, open_source, prepare
from deltarule.tables.passes import Passes
from deltarule.tables.split import Shares
from deltarule.training import Checkpoint
from support.clusters import connected, model_sha

pytest.importorskip("distributed")

from distributed import Client, LocalCluster

from deltarule.dask import crew as crew_module
from deltarule.dask.crew import Crew
from deltarule.tables import cluster as cluster_module
from deltarule.tables.cluster import ClusterPasses

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*converge.*", "ignore::DeprecationWarning", "ignore:steps of"
)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connected(3) as made:
        yield made


def rows(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return rows of every kind of column, some of them odd."""
    table = pd.DataFrame(
        {
            "number": rng.lognormal(3, 2, n),
            "whole": rng.integers(0, 50, n),
            "letter": rng.choice([*"uvwxyz", ""], n),
            "flag": rng.choice(["yes", "no"], n),
            "date": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), "h")),
            "row": np.arange(n),
            "euro": [f"{value:.2f}".replace(".", ",") for value in rng.random(n)],
            "text": [f"text {value}" for value in rng.integers(0, 10**9, n)],
        }
    )
    table["date"] = table["date"].astype(str)
    table.loc[rng.random(n) < 0.1, "number"] = np.nan
    table.loc[rng.random(n) < 0.05, "date"] = ""
    signal_ = np.log(table["number"].fillna(20)) + 2 * (table["letter"] == "u")
    table["quantity"] = signal_ + rng.normal(size=n)
    table["class"] = np.where(table["quantity"] > 3.5, "high", "low")
    return table


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One table as a folder of CSV files, and as Parquet files of small row groups."""
    rng = np.random.default_rng(0)
    found = {kind: tmp_path_factory.mktemp(kind) for kind in ("csv", "parquet")}
    for number, n in enumerate((400, 1, 700, 250, 900)):
        part = rows(n, rng)
        part.to_csv(found["csv"] / f"{number}.csv", index=False)
        part.to_parquet(found["parquet"] / f"{number}.parquet", row_group_size=170, index=False)
    return found


@pytest.mark.parametrize(
    ("kind", "target", "given_plan"),
    [
        ("csv", "class", {"ignore": ("quantity",)}),
        ("parquet", "quantity", {"ignore": ("class",), "shares": Shares(0.2, 0.1)}),
        ("csv", "quantity", {"time": "date", "scaling": "quantiles", "bins": 6}),
    ],
)
def test_workers_learn_what_one_process_learns(
    client: Client, folders: dict[str, Path], kind: str, target: str, given_plan: dict[str, Any]
) -> None:
    """Kinds, moments, categories, the dev rows, and the model, byte for byte."""
    plan = Plan(target, shards=8, **given_plan)
    here = prepare(open_source(folders[kind]), plan)
    there = prepare(open_source(folders[kind]), plan, ClusterPasses(Crew(client)))
    assert there.preprocessing == here.preprocessing
    assert there.understanding == here.understanding
    assert there.provenance == here.provenance
    assert there.streams == here.streams
    assert there.notes == here.notes
    np.testing.assert_array_equal(there.dev.X, here.dev.X)
    np.testing.assert_array_equal(there.dev.y, here.dev.y)
    settings = Settings(epochs=2, hidden=(8,), batch_size=64)
    assert model_sha(fit(there, settings)) == model_sha(fit(here, settings))


def test_shards_of_one_process_are_read_again_to_the_same_bits(folders: dict[str, Path]) -> None:
    """A stream that is behind begins its epoch again, and the order is that of the streams."""
    plan = Plan("class", ignore=("quantity",), shards=4)
    prepared = prepare(open_source(folders["parquet"]), plan)
    streams = prepared.streams
    assert streams is not None
    assert sum(streams.lengths) == prepared.provenance.training_rows
    found = Passes().dataset(prepared.reader, 30, sum(streams.lengths), 64, streams)
    assert found.of_stream is not None
    counts = [
        sum(len(y) for _, y in found.of_stream(epoch, p)) for p in range(4) for epoch in (0, 1)
    ]
    assert counts == [n for n in streams.lengths for _ in range(2)]


def test_a_training_on_a_cluster_resumes_in_one_process(
    client: Client, folders: dict[str, Path], tmp_path: Path
) -> None:
    plan = Plan("class", ignore=("quantity",), shards=8)
    crew = Crew(client)

    def trained(passes: Any, epochs: int, folder: Path | None) -> str:
        checkpoint = None if folder is None else Checkpoint(folder, exact=True)
        settings = Settings(epochs=epochs, hidden=(8,), batch_size=256, checkpoint=checkpoint)
        return model_sha(fit(prepare(open_source(folders["csv"]), plan, passes), settings))

    whole = trained(None, 3, None)
    trained(ClusterPasses(crew), 1, tmp_path / "a")
    assert trained(None, 3, tmp_path / "a") == whole
    trained(None, 1, tmp_path / "b")
    assert trained(ClusterPasses(crew), 3, tmp_path / "b") == whole


def test_a_file_that_workers_do_not_find_is_named(
    client: Client, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(path: Any) -> bool:
        return False

    monkeypatch.setattr(cluster_module.os.path, "exists", nowhere)
    with pytest.raises(TableError, match=r"a worker finds no file .*; every worker needs"):
        prepare(open_source(folders["csv"]), Plan("class", shards=8), ClusterPasses(Crew(client)))


def test_a_damaged_cell_is_named_by_the_worker(client: Client, tmp_path: Path) -> None:
    for number in range(3):
        rows(60, np.random.default_rng(number)).to_csv(tmp_path / f"{number}.csv", index=False)
    (tmp_path / "1.csv").write_text((tmp_path / "1.csv").read_text() + '"open,1,2\n')
    with pytest.raises(TableError, match=r"1\.csv, line \d+, column 'number': the quote"):
        prepare(open_source(tmp_path), Plan("class", shards=8), ClusterPasses(Crew(client)))


# --- the command line ----------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(list(words))
    return code, capsys.readouterr().err


def test_wrong_clusters_are_one_line_and_exit_code_2(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("train", str(folders["csv"]), "-t", "class", "-o", str(tmp_path / "m.safetensors"))
    for more, message in (
        (("--dask", "local:none"), "does not name a number of workers"),
        (("--dask", "tcp://127.0.0.1:1"), "no Dask scheduler answers at tcp://127.0.0.1:1"),
        (("--dask", "nowhere"), "no Dask scheduler answers at nowhere"),
        (("--dask", "local:2", "--no-stream"), "leave --no-stream out"),
        (("--shards", "3"), "shards must be a power of two"),
    ):
        code, error = said(capsys, *words, *more)
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "m.safetensors").exists()


def test_workers_that_differ_or_are_missing_are_named(
    client: Client,
    folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("train", str(folders["csv"]), "-t", "class", "-o", "never.safetensors", "--dask")
    with monkeypatch.context() as patch:
        patch.setattr(crew_module, "_worker_identity", _other_release)
        code, error = said(capsys, *words, client.cluster.scheduler_address)
    assert code == 2
    assert "differs in deltarule: '0.0.0'" in error
    with LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1") as empty:
        code, error = said(capsys, *words, empty.scheduler_address)
    assert code == 2
    assert "the cluster has no workers" in error


def _other_release() -> Any:
    from deltarule.dask.workers import identity

    return identity() | {"deltarule": "0.0.0"}


def command_of(folder: Path, *options: str) -> list[str]:
    words = ["train", str(folder), "-t", "class", "--ignore", "quantity", "--hidden", "8"]
    return [*words, "--batch-size", "512", *options]


WITH_WORKERS = [sys.executable, "-m", "deltarule"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_command_trains_on_worker_processes(folders: dict[str, Path], tmp_path: Path) -> None:
    local, there = (str(tmp_path / f"{name}.safetensors") for name in ("local", "there"))
    words = command_of(folders["csv"], "--epochs", "2", "-o", local, "--shards", "8", "--quiet")
    assert run(words) == 0
    words = command_of(folders["csv"], "--epochs", "2", "-o", there, "--dask", "local:2", "--json")
    found = subprocess.run(
        [*WITH_WORKERS, *words], capture_output=True, text=True, timeout=250, check=True
    )
    assert '"the dashboard of the cluster is at http://127.0.0.1:' in found.stdout
    assert Path(local).read_bytes() == Path(there).read_bytes()


@pytest.mark.timeout(900)
def test_the_command_trains_on_worker_processes_and_ends_them(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """Ctrl-C in the terminal reaches the whole group: the best model is written, nothing stays."""
    output = str(tmp_path / "cut.safetensors")
    cut = [*WITH_WORKERS, *command_of(folders["csv"], "--dask", "local:2")]
    cut += ["--epochs", "500", "-o", output]
    cut += ["--checkpoint", str(tmp_path / "run"), "--every-epochs", "1"]
    process = subprocess.Popen(
        cut, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = monotonic() + 200
    while not list((tmp_path / "run").glob("epoch-000001-*")) and monotonic() < until:
        sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.killpg(process.pid, signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert "the dashboard of the cluster is at http://127.0.0.1:" in said
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("note: interrupted")
    assert (tmp_path / "cut.safetensors").exists()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.long
def test_a_worker_that_dies_while_it_reads_changes_no_byte(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("class", ignore=("quantity",), shards=8)
    settings = Settings(epochs=2, hidden=(8,), batch_size=512)
    expected = model_sha(fit(prepare(open_source(folders["csv"]), plan), settings))
    killed: set[str] = set()
    submit = Crew.submit
    with cluster_module.connected("local:2") as crew:

        def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
            made = submit(self, name, *given, **kwargs)
            if name in ("learn", "sums") and name not in killed:
                killed.add(name)
                self.client.wait_for_workers(2, timeout=100)
                pids = sorted(self.client.run(os.getpid, on_error="ignore").values())
                os.kill(pids[0], signal.SIGKILL)
                threading.Event().wait(0.1)
            return made

        monkeypatch.setattr(Crew, "submit", submitting)
        found = model_sha(
            fit(prepare(open_source(folders["csv"]), plan, ClusterPasses(crew)), settings)
        )
    assert killed == {"learn", "sums"}
    assert found == expected
