"""What averaging costs in accuracy: ``python benchmarks/local_steps.py [--data FOLDER]``.

MNIST (`deltarule.datasets.load_mnist` says where its files come from), a network 784-64-10 in
float32, 20 epochs of Adam with batches of 256, on a cluster of worker processes with one shard
each. Printed is the accuracy on the 10 000 test images: of synchronous steps, and of shards that
take steps by themselves, whose θ are averaged every H steps.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

from deltarule import MLPClassifier, Shards
from deltarule.dask import DaskMLPClassifier
from deltarule.datasets import load_mnist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="the folder with MNIST's files")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", nargs="+", default=["epoch", "20"])
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    mnist = load_mnist(given.data, dtype="float32", download=False)
    x, y, test = mnist.X_train / 255, mnist.y_train, mnist.X_test / 255
    n = given.workers
    parts = np.array_split(x, n), np.array_split(y, n)
    shards = Shards(n, [len(part) for part in parts[0]])
    with (
        LocalCluster(
            n_workers=n, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        for seed in range(given.seeds):
            arguments: dict[str, Any] = {
                "hidden_layer_sizes": (64,), "batch_size": 256, "max_iter": given.epochs,
                "tol": 0.0, "n_iter_no_change": 10**6, "random_state": seed, "n_threads": 1,
            }  # fmt: skip
            begin = perf_counter()
            exact = MLPClassifier(shards=shards, **arguments).fit(x, y)  # the cluster's bits
            base = 100 * exact.score(test, mnist.y_test)
            print(f"seed {seed}  synchronous      {base:6.2f} %  {perf_counter() - begin:6.1f} s")
            for every in given.every:
                begin = perf_counter()
                model = DaskMLPClassifier(
                    client=client, shards=n, sync="average",
                    every=int(every) if every.isdigit() else every, **arguments,
                ).fit(*parts)  # fmt: skip
                score = 100 * model.to_local().score(test, mnist.y_test)
                print(
                    f"seed {seed}  every {every:>5}      {score:6.2f} %  "
                    f"{perf_counter() - begin:6.1f} s  {score - base:+.2f} points",
                    flush=True,
                )


if __name__ == "__main__":
    main()
