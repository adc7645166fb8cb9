"""What do changed texts teach a network?
======================================

Texts with synonyms, deletions and swaps, new in every epoch (D4).

A text praises or blames by one of twelve words, each of which has a synonym that no training text
holds. Without augmentation a network cannot know the synonyms; with synonym replacement it meets
both (Wei & Zou 2019). A transformation teaches what the label does not depend on.

Run it by::

    python examples/text_augmentation.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import CountVectorizer

from deltarule import Adam, Dense, Network, train
from deltarule.augmentation import RandomDeletion, RandomSwap, SynonymReplacement, TextAugmenter

SYNONYMS = {
    "good": "fine", "great": "superb", "lively": "vivid", "funny": "witty", "moving": "touching",
    "clever": "bright", "bad": "poor", "dull": "boring", "slow": "tedious", "silly": "foolish",
    "ugly": "hideous", "weak": "feeble",
}  # fmt: skip
PRAISE = list(SYNONYMS)[:6]
THINGS = ("film", "story", "play", "novel", "song", "scene")
RATES = (0.0, 0.01, 0.03, 0.1)


def texts() -> tuple[list[str], list[str], np.ndarray]:
    """Return texts for training, the same with synonyms for the test, and their labels."""
    ours = [f"the {thing} was {word} and long" for word in SYNONYMS for thing in THINGS]
    theirs = [f"the {thing} was {word} and long" for word in SYNONYMS.values() for thing in THINGS]
    return ours, theirs, np.repeat([word in PRAISE for word in SYNONYMS], len(THINGS)).astype(int)


def accuracies(rate: float, seed: int) -> tuple[float, float]:
    """Return the accuracies on the training texts, and on texts with the synonyms."""
    ours, theirs, y = texts()
    vectorizer = CountVectorizer().fit(ours + theirs)
    X, X_test = (vectorizer.transform(some).toarray().astype(float) for some in (ours, theirs))
    table = {word: [other] for word, other in SYNONYMS.items()}
    changes = [SynonymReplacement(table, rate), RandomDeletion(0.1), RandomSwap(1)]
    augment = TextAugmenter(ours, vectorizer, changes, seed=seed) if rate else None
    net = Network(X.shape[1], [Dense(8, "relu"), Dense(1, "sigmoid")], "binary_cross_entropy")
    state = net.initialize(seed)
    train(net, state, X, y, optimizer=Adam(0.02), epochs=40, batch_size=24, augment=augment)
    return net.score(state, X, y), net.score(state, X_test, y)


def main(output: Path = Path("examples-output")) -> None:
    """Print and draw the accuracies by the share of words that are replaced."""
    found = np.array([[accuracies(rate, seed) for seed in range(2)] for rate in RATES]).mean(axis=1)
    for rate, (known, unknown) in zip(RATES, found, strict=True):
        print(f"synonyms for {rate:.0%} of the words: accuracy {known:.3f} on the training texts, "
              f"{unknown:.3f} on texts with the synonyms")  # fmt: skip
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = figure.subplots()
    ax.plot(RATES, found[:, 0], "o-", color="#2b6cb0", label="training texts")
    ax.plot(RATES, found[:, 1], "s--", color="#c05621", label="the same with synonyms")
    ax.set(xlabel="share of words replaced in training", ylabel="accuracy", ylim=(0, 1.05))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "text_augmentation.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
