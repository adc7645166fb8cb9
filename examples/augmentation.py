"""What does augmentation do to images?
====================================

Digits and distorted copies of them (D4).

Augmentation replaces (x, y) by (T(x), y) with a random T for each example in each epoch (Ayrapetyan
§4.4). In the picture a column is an epoch, and a row is a digit with one kind of distortion.

Run it by::

    python examples/augmentation.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from deltarule.augmentation import (
    Compose,
    Crop,
    Elastic,
    GaussianNoise,
    Rotation,
    Scaling,
    Shear,
    Translation,
)

EPOCHS = 8
ENLARGED = 3  # 8×8 pixels times 3, with a margin of 2: 28×28, the size of MNIST's images

PIPELINES = {
    "rotation ±30°": [Rotation(30)],
    "translation, scaling": [Translation(4, 4), Scaling((0.7, 1.3), per_axis=True)],
    "shear ±20°, crop": [Shear(20, 20), Crop(3)],
    "elastic, σ 4, α 34": [Elastic(alpha=34, sigma=4)],
    "affine + elastic": [Rotation(15), Scaling((0.85, 1.15)), Shear(10), Elastic()],
    "elastic + noise": [Elastic(), GaussianNoise(0.15)],
}


def digits() -> np.ndarray:
    """Return one image (28, 28) of each of the first six digits, values in [0, 1]."""
    images = load_digits().images[: len(PIPELINES)] / 16
    large = np.kron(images, np.ones((ENLARGED, ENLARGED)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.float32)


def main(output: Path = Path("examples-output")) -> None:
    """Print how far each distortion moves the pixels, and draw the digits."""
    figure = Figure(figsize=(1.1 * (1 + EPOCHS) + 1.6, 1.2 * len(PIPELINES)), layout="constrained")
    axes = figure.subplots(len(PIPELINES), 1 + EPOCHS)
    for i, (name, transformations) in enumerate(PIPELINES.items()):
        pipeline = Compose(transformations, shape=(28, 28), seed=0)
        shown = pipeline.preview(digits()[i : i + 1], copies=EPOCHS)[0]
        moved = np.sqrt(np.mean((shown[1:] - shown[0]) ** 2))
        print(f"{name}: pixels in [0, 1] move by {moved:.3f} (root mean square)")
        for j, image in enumerate(shown):
            axes[i, j].imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axes[i, j].set(xticks=[], yticks=[])
            if i == 0:
                axes[i, j].set_title("original" if j == 0 else f"epoch {j - 1}", fontsize=9)
        axes[i, 0].set_ylabel(
            name.replace(", ", ",\n").replace(" + ", " +\n"), rotation=0, ha="right", va="center"
        )
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "augmentation.png", dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
