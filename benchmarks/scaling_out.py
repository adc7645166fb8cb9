"""What a Dask cluster costs and gains: ``python benchmarks/scaling_out.py [--rows 40000]``.

Worker processes on this machine, one thread each. Measured are the time of a step by batch size,
next to one machine on one thread with the same shards, the bytes that a step moves, and the time of
a task that does nothing. To the times a cost model is fitted, t = a B / N + b + c N P, of B rows in
a batch, N workers and P parameters, and drawn for more workers than there are here. It assumes that
workers are alike, and that b and c stay as they are on this machine, whose network is its memory.

Weak scaling is a step of B rows a worker: its efficiency is the time of one worker over that of N.
With ``--stream 10000000`` the memory of two workers is measured, which train on rows in files.
With ``--steps 10000`` the scheduler's memory is measured over so many steps of one row.

``--bits`` measures nothing: it fits small networks on one machine and on 1, 2, 3 and 8 workers,
and prints the digests of their parameters. The exit status is 1 if they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

from deltarule import MLPClassifier, Shards
from deltarule.dask import DaskMLPClassifier
from deltarule.errors import SlowClusterWarning

WIDTHS = (256, 256)  # hidden layers
FEATURES, CLASSES = 100, 10


def data(rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    return x, np.argmax(x[:, :CLASSES] + rng.standard_normal((rows, CLASSES)), axis=1)


def arguments(batch: int, epochs: int) -> dict[str, Any]:
    return {"hidden_layer_sizes": WIDTHS, "batch_size": batch, "max_iter": epochs, "tol": 0.0,
            "random_state": 0, "n_iter_no_change": 10**6, "n_threads": 1}  # fmt: skip


def seconds_a_step(fit: Any, rows: int, batch: int, rounds: int) -> float:
    """Return the time of a step: of two epochs more, so that what a fit does once cancels out.

    Each is the shortest time of several rounds.
    """
    times: dict[int, list[float]] = {1: [], 3: []}
    for _ in range(rounds):
        for epochs, seen in times.items():
            begin = perf_counter()
            fit(epochs)
            seen.append(perf_counter() - begin)
    return (min(times[3]) - min(times[1])) / (2 * -(-rows // batch))


def bare_task(client: Any) -> float:
    """Return the time of a task that does nothing: what Dask takes by itself."""
    times = []
    for i in range(20):
        begin = perf_counter()
        client.submit(abs, i, pure=False).result()
        times.append(perf_counter() - begin)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[2000, 4000, 20_000, 40_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--stream", type=int, default=0, metavar="ROWS", help="rows in files")
    parser.add_argument("--bits", action="store_true")
    given = parser.parse_args()
    if given.stream:
        streamed_memory(given.stream)
        return
    warnings.simplefilter("ignore", ConvergenceWarning)
    if given.bits:
        sys.exit(0 if bits_agree() else 1)
    x, y = data(given.rows)
    n_parts = 8
    parts = np.array_split(x, n_parts), np.array_split(y, n_parts)
    shards = Shards(8, [len(part) for part in parts[0]])
    p = FEATURES * WIDTHS[0] + WIDTHS[0] * WIDTHS[1] + WIDTHS[1] * CLASSES + sum(WIDTHS) + CLASSES
    print(f"{p:,} parameters in float32, {given.rows:,} rows, 8 shards")
    columns = ("workers", "ms a step", "MB a step", "bits", "ms a task")
    print(f"{'batch':>8}" + "".join(f"{column:>11}" for column in columns))
    seen = []
    for batch in given.batches:
        local = []

        def here(epochs: int, batch: int = batch, local: list[Any] = local) -> None:
            local.append(MLPClassifier(shards=shards, **arguments(batch, epochs)).fit(x, y))

        seconds = seconds_a_step(here, given.rows, batch, given.rounds)
        print(f"{batch:8}{'local':>11}{1e3 * seconds:11.2f}{0.0:11.2f}")
        for n in given.workers:
            with (
                LocalCluster(
                    n_workers=n, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
                ) as cluster,
                Client(cluster) as client,
            ):
                made = []

                def there(
                    epochs: int, batch: int = batch, client: Any = client, made: list[Any] = made
                ) -> None:
                    model = DaskMLPClassifier(client=client, **arguments(batch, epochs))
                    made.append(model.fit(*parts))

                there(1)
                task = bare_task(client)
                seconds = seconds_a_step(there, given.rows, batch, given.rounds)
            same = np.array_equal(made[-1].state_.theta, local[-1].state_.theta)
            seen.append((batch, n, seconds))
            bits = "same" if same else "OTHER"
            print(
                f"{batch:8}{n:11}{1e3 * seconds:11.2f}{8e-6 * p * n:11.2f}{bits:>11}"
                f"{1e3 * task:11.2f}"
            )
    model(seen, p)
    weak_scaling(seen)
    if given.steps:
        scheduler_memory(given.steps)


def bits_agree() -> bool:
    """Print the digests of θ by solver and place; return whether those of each solver agree."""
    warnings.simplefilter("ignore", SlowClusterWarning)
    rng = np.random.default_rng(0)
    lengths = [150, 0, 1, 90, 120, 39]  # of the partitions
    cuts = np.cumsum(lengths)[:-1]
    x = rng.standard_normal((sum(lengths), 6))
    y = np.argmax(x[:, :3] + rng.standard_normal((len(x), 3)), axis=1)
    common: dict[str, Any] = {
        "hidden_layer_sizes": (16,), "batch_size": 64, "max_iter": 10, "random_state": 0,
        "dropout": 0.2, "early_stopping": True, "standardize": True, "class_weight": "balanced",
    }  # fmt: skip
    solvers: dict[str, dict[str, Any]] = {
        "adam": {"solver": "adam"},
        "sgd, nesterov": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True},
        "lbfgs": {"solver": "lbfgs", "dropout": 0.0, "early_stopping": False},
        "adam, average": {"solver": "adam", "sync": "average"},
    }
    found: dict[str, list[str]] = {}
    for name, given in solvers.items():
        local = {key: value for key, value in given.items() if key != "sync"}
        shards = Shards(8, lengths, every="epoch" if "sync" in given else None)
        model = MLPClassifier(shards=shards, **common | local)
        found[name] = [digest(model.fit(x, y))]
    places = ["one machine"]
    for n, processes in ((1, True), (2, True), (3, False), (8, False)):
        places.append(f"{n} {'processes' if processes else 'threads'}")
        with (
            LocalCluster(
                n_workers=n, threads_per_worker=1, processes=processes, protocol="tcp",
                host="127.0.0.1", dashboard_address=":0",
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            for name, given in solvers.items():
                there = DaskMLPClassifier(client=client, **common | given)
                there.fit(np.split(x, cuts), np.split(y, cuts))
                found[name].append(digest(there))
    print(f"{'workers':14}" + "".join(f"{name:>18}" for name in found))
    for place, *digests in zip(places, *found.values(), strict=True):
        print(f"{place:14}" + "".join(f"{value:>18}" for value in digests))
    agree = [len(set(digests)) == 1 for digests in found.values()]
    print(f"{'agree':14}" + "".join(f"{'yes' if one else 'NO':>18}" for one in agree))
    return all(agree)


def digest(model: Any) -> str:
    """Return the first digits of the SHA-256 of a model's parameters."""
    return hashlib.sha256(model.state_.theta.tobytes()).hexdigest()[:16]


def streamed_memory(rows: int) -> None:
    """Train an epoch on a folder of Parquet files with two worker processes; print the memory.

    Each worker's resident memory is read every second; printed is the largest of both, in each
    fifth of the time.
    """
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder, piece = Path(name) / "rows", 250_000
        folder.mkdir()
        for number, start in enumerate(range(0, rows, piece)):
            x = rng.standard_normal((min(piece, rows - start), 10), dtype=np.float32)
            columns = {f"x{j}": x[:, j] for j in range(10)}
            columns["y"] = x[:, 0] * x[:, 1] + x[:, 2]
            pq.write_table(pa.table(columns), folder / f"{number:04}.parquet")
        size = sum(file.stat().st_size for file in folder.iterdir())
        line = ["train", str(folder), "--target", "y", "--dask", "local:2", "--shards", "2"]
        line += ["--batch-size", "20000", "--epochs", "1", "-o", str(Path(name) / "m.safetensors")]
        begin, seen = perf_counter(), []
        with subprocess.Popen([sys.executable, "-m", "deltarule", *line]) as process:
            while process.poll() is None:
                time.sleep(1.0)
                with suppress(psutil.Error):
                    children = psutil.Process(process.pid).children(recursive=True)
                    held = [child.memory_info().rss / 2**20 for child in children]
                    seen.append(sorted(held)[-2:])
        seconds = perf_counter() - begin
    print(f"{rows:,} rows, {size / 2**20:.0f} MiB of files: {seconds:.0f} s")
    fifths = np.array_split([one for one in seen if len(one) == 2], 5)
    print("MiB of the larger worker by fifths of the time:",
          *(f"{np.max(fifth):.0f}" for fifth in fifths))  # fmt: skip


def weak_scaling(seen: list[tuple[int, int, float]]) -> None:
    """Print the steps whose batches grow with the workers."""
    alone = {batch: seconds for batch, n, seconds in seen if n == 1}
    print("\nweak scaling")
    print(f"{'rows a worker':>14}{'workers':>11}{'ms a step':>11}{'efficiency':>12}")
    for batch, n, seconds in sorted(seen):
        if batch % n == 0 and batch // n in alone:
            share = alone[batch // n] / seconds
            print(f"{batch // n:14}{n:11}{1e3 * seconds:11.2f}{100 * share:10.0f} %")


def scheduler_memory(steps: int) -> None:
    """Print what the scheduler holds over many steps; it runs in this process, the workers not."""
    import psutil

    rows = 100
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, 6)), rng.integers(0, 2, rows)
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (3,), "batch_size": 1, "max_iter": steps // rows, "tol": 0.0,
        "random_state": 0, "n_iter_no_change": 10**6,
    }  # fmt: skip
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        scheduler, process = cluster.scheduler, psutil.Process()
        seen: list[tuple[int, int, float]] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                size = process.memory_info().rss / 1e6
                seen.append((len(scheduler.tasks), len(scheduler.task_groups), size))

        watcher = threading.Thread(target=watch)
        watcher.start()
        model = DaskMLPClassifier(client=client, shards=2, **arguments)
        begin = perf_counter()
        try:
            model.fit([x[:50], x[50:]], [y[:50], y[50:]])
        finally:
            ended.set()
            watcher.join()
        seconds = perf_counter() - begin
    print(f"\n{steps} steps of one row in {seconds:.0f} s, two workers")
    print(f"{'of the time':>12}{'tasks':>8}{'groups':>8}{'MB of client and scheduler':>28}")
    for tenth in range(10):
        part = seen[len(seen) * tenth // 10 : len(seen) * (tenth + 1) // 10]
        tasks, groups, sizes = zip(*part, strict=True)
        print(f"{10 * (tenth + 1):10} %{max(tasks):8}{max(groups):8}{max(sizes):28.1f}")


def model(seen: list[tuple[int, int, float]], p: int) -> None:
    """Fit the cost model, and print it for up to 64 workers."""
    rows = np.array([[batch / n, 1.0, n * p] for batch, n, _ in seen])
    times = np.array([seconds for *_, seconds in seen])
    from scipy.optimize import nnls

    a, b, c = nnls(rows / times[:, None], np.ones(len(times)))[0]
    print(f"\nt = {1e6 * a:.2f} us B/N + {1e3 * b:.1f} ms + {1e9 * c:.2f} ns N P")
    print(f"{'batch':>8}" + "".join(f"{n:>10}" for n in (1, 2, 4, 8, 16, 32, 64)) + "  workers, ms")
    for batch in (200, 2000, 20_000, 200_000):
        drawn = (1e3 * (a * batch / n + b + c * n * p) for n in (1, 2, 4, 8, 16, 32, 64))
        print(f"{batch:8}" + "".join(f"{value:10.1f}" for value in drawn))


if __name__ == "__main__":
    main()
