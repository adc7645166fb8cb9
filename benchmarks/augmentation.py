"""Images per second of augmentation pipelines: ``python benchmarks/augmentation.py``.

The target (item D4) is 20 000 float32 images of 28×28 pixels per second on two cores, with affine
and elastic distortions together. Each line has the best and the median rate of several passes over
the same images, in order and shuffled (as for mini-batches), and the best rate per second of
processor time, which is more informative on a shared machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np

from deltarule.augmentation import (
    ColorJitter,
    Compose,
    Crop,
    Elastic,
    Flip,
    Rotation,
    Scaling,
    Shear,
    Translation,
)

AFFINE = [Rotation(15), Translation(2, 2), Scaling((0.9, 1.1)), Shear(10)]
PIPELINES = {
    "affine": ((28, 28), AFFINE),
    "elastic": ((28, 28), [Elastic()]),
    "affine + elastic": ((28, 28), [*AFFINE, Elastic()]),
    "flip, crop, jitter": ((32, 32, 3), [Flip(), Crop(4), ColorJitter(0.4, 0.4, 0.4)]),
}


def measure(
    pipeline: Compose, x: np.ndarray, rows: np.ndarray, passes: int
) -> tuple[list[float], list[float]]:
    """Return images per second and per processor second of each pass, after a warm-up pass."""
    pipeline(x, rows, 0)
    rates, processor_rates = [], []
    for epoch in range(1, passes + 1):
        start, spent = time.perf_counter(), time.process_time()
        pipeline(x, rows, epoch)
        rates.append(len(x) / (time.perf_counter() - start))
        processor_rates.append(len(x) / (time.process_time() - spent))
    return rates, processor_rates


def main() -> None:
    """Measure the chosen pipelines and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", choices=PIPELINES, help="measure only this pipeline")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    orders = {
        "in order": np.arange(options.images),
        "shuffled": rng.permutation(options.images),
    }
    print(f"{options.images} images, float32; load average {os.getloadavg()[0]:.2f} at the start")
    print(
        f"{'pipeline':<20}{'shape':<14}{'rows':<10}{'threads':>7}{'best/s':>10}{'median/s':>10}"
        f"{'best/CPU s':>12}"
    )
    for name, (shape, transformations) in PIPELINES.items():
        if options.only not in (None, name):
            continue
        x = rng.random((options.images, *shape), dtype=np.float32)
        for order, rows in orders.items():
            for threads in options.threads:
                pipeline = Compose(transformations, shape=shape, n_threads=threads)
                rates, processor_rates = measure(pipeline, x, rows, options.passes)
                print(
                    f"{name:<20}{'x'.join(map(str, shape)):<14}{order:<10}{threads:>7}"
                    f"{max(rates):>10.0f}{statistics.median(rates):>10.0f}"
                    f"{max(processor_rates):>12.0f}"
                )
    print(f"load average {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
