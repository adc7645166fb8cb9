"""Transformations of texts, and the augmenter that brings them to training through a vectoriser.

They are the four operations of "easy data augmentation" (Wei & Zou 2019), with synonyms from a
table of the user. A text is its words between white space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.augmentation.compose import Compose, Transform
from deltarule.augmentation.streams import RowStreams
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.utils.checks import check_between, check_count, check_sequence, shown

__all__ = [
    "RandomDeletion",
    "RandomInsertion",
    "RandomSwap",
    "SynonymReplacement",
    "TextAugmenter",
]

_COMPARED = 8  # rows whose inputs are compared with the vectoriser's in every call


class _OfWords(ABC):
    """Base of transformations f(rng, x) of texts (n,), word by word, with a stream for each row."""

    def __call__(self, rng: RowStreams, x: Any) -> Any:
        """Return the changed texts (n,), an array of objects."""
        texts = np.asarray(x, dtype=object)
        if texts.shape != (len(rng),) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"x must be {len(rng)} texts, one for each row; got shape {texts.shape}. Texts "
                "reach training by a TextAugmenter."
            )
        changed = np.empty(len(texts), dtype=object)
        for i, text in enumerate(texts):
            changed[i] = " ".join(self._change(rng.generator(i), text.split()))
        return changed

    @abstractmethod
    def _change(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        """Return the words of a text, changed."""


@dataclass(frozen=True)
class SynonymReplacement(_OfWords):
    """Replace words that have synonyms, each with probability ``rate``, by one of them.

    Parameters
    ----------
    synonyms : dict of str to sequence of str
        The table: a word as it stands in texts, or in lower case, and what may replace it.
    rate : float, default=0.1
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule.augmentation import Compose, SynonymReplacement
    >>> change = Compose([SynonymReplacement({"good": ["fine"]}, rate=1.0)])
    >>> change(np.array(["a good day"], dtype=object)).tolist()
    ['a fine day']
    """

    synonyms: Mapping[str, Sequence[str]]
    rate: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", _checked_table(self.synonyms))
        check_between("rate", self.rate, 0.0, 1.0)

    def _change(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        found = [_synonyms(self.synonyms, word) for word in words]
        return [
            _drawn(rng, others) if others and rng.random() < self.rate else word
            for word, others in zip(words, found, strict=True)
        ]


@dataclass(frozen=True)
class RandomInsertion(_OfWords):
    """For each word that has synonyms, with probability ``rate``, insert one of them anywhere.

    Parameters
    ----------
    synonyms : dict of str to sequence of str
        As in `SynonymReplacement`.
    rate : float, default=0.1
        In [0, 1].
    """

    synonyms: Mapping[str, Sequence[str]]
    rate: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", _checked_table(self.synonyms))
        check_between("rate", self.rate, 0.0, 1.0)

    def _change(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        longer = list(words)
        for word in words:
            others = _synonyms(self.synonyms, word)
            if others and rng.random() < self.rate:
                longer.insert(int(rng.integers(len(longer) + 1)), _drawn(rng, others))
        return longer


@dataclass(frozen=True)
class RandomDeletion(_OfWords):
    """Delete each word with probability ``rate``; of a text that would be empty, keep one word.

    Parameters
    ----------
    rate : float, default=0.1
        In [0, 1].
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        check_between("rate", self.rate, 0.0, 1.0)

    def _change(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        kept = [word for word in words if rng.random() >= self.rate]
        return kept or [_drawn(rng, words)] if words else []


@dataclass(frozen=True)
class RandomSwap(_OfWords):
    """Swap two words at random positions, ``swaps`` times.

    A vectoriser that counts single words does not see it; one of word pairs does.

    Parameters
    ----------
    swaps : int, default=1
        At least 0.
    """

    swaps: int = 1

    def __post_init__(self) -> None:
        check_count("swaps", self.swaps, below=1 << 20)

    def _change(self, rng: np.random.Generator, words: list[str]) -> list[str]:
        moved = list(words)
        for _ in range(self.swaps if len(moved) > 1 else 0):
            i, j = rng.choice(len(moved), size=2, replace=False)
            moved[i], moved[j] = moved[j], moved[i]
        return moved


class TextAugmenter:
    """The inputs of training as a vectoriser makes them of changed texts, new in every epoch.

    ``train(..., augment=TextAugmenter(...))`` and ``MLPClassifier(augment=...)`` call it with the
    vectorised texts and get the vectors of changed ones.

    Parameters
    ----------
    texts : sequence of str
        The texts of the training rows, in the order of X.
    vectorizer : fitted vectoriser
        With ``transform``, such as scikit-learn's ``TfidfVectorizer``; X is its ``toarray()``.
    transforms : sequence of transformations
        Such as `SynonymReplacement`, or functions ``f(rng, x) -> x'`` of texts (n,).
    seed : int, default=0
        The seed, in [0, 2⁶⁴). A text's changes depend on it, the epoch and the row alone.

    Raises
    ------
    SpecError
        If a part is not what it must be.
    DataError
        In training, if X is not what the vectoriser makes of these texts: an estimator that holds
        rows out itself (``early_stopping=True``) numbers the others again. Give it ``X_val``.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from deltarule import MLPClassifier
    >>> from deltarule.augmentation import RandomDeletion, SynonymReplacement, TextAugmenter
    >>> texts = ["good film", "bad film", "fine story", "poor story"]
    >>> vectorizer = CountVectorizer().fit(texts)
    >>> table = {"good": ["fine"], "fine": ["good"], "bad": ["poor"], "poor": ["bad"]}
    >>> changes = [SynonymReplacement(table, 0.5), RandomDeletion(0.1)]
    >>> augment = TextAugmenter(texts, vectorizer, changes)
    >>> X = vectorizer.transform(texts).toarray()
    >>> model = MLPClassifier(
    ...     (4,), learning_rate_init=0.05, tol=0.01, random_state=0, augment=augment
    ... )
    >>> model.fit(X, [1, 0, 1, 0]).predict(X).tolist()
    [1, 0, 1, 0]
    """

    def __init__(
        self, texts: Sequence[str], vectorizer: Any, transforms: Sequence[Transform], seed: int = 0
    ) -> None:
        given = check_sequence("texts", texts, "a sequence of strings")
        if not all(isinstance(text, str) for text in given):
            raise SpecError(f"texts must be a sequence of strings; got {shown(texts)}.")
        if not hasattr(vectorizer, "transform"):
            raise SpecError(
                "vectorizer must have transform(texts), such as a fitted TfidfVectorizer; got "
                f"{shown(vectorizer)}."
            )
        self.texts = np.empty(len(given), dtype=object)
        self.texts[:] = given
        self.vectorizer = vectorizer
        self.pipeline = Compose(transforms, seed=seed)

    def __call__(self, x: Any, rows: Any, epoch: int) -> Any:
        """Return the vectors (n, d) of the changed texts of these rows, in the type of x."""
        given, numbers = np.asarray(x), np.asarray(rows)
        if len(numbers) != len(given) or (len(numbers) and numbers.max() >= len(self.texts)):
            raise ShapeError(
                f"rows must be one for each row of x, below the {len(self.texts)} texts; got "
                f"{len(numbers)} rows for {len(given)} of x. Give the texts of the training rows."
            )
        few = slice(0, _COMPARED)
        if not np.allclose(self._vectors(self.texts[numbers[few]], given), given[few], rtol=1e-5):
            raise DataError(
                "X is not what the vectorizer makes of these texts. Give vectorizer.transform("
                "texts).toarray(), the texts in the order of X, and to an estimator with "
                "early_stopping=True its own X_val and y_val."
            )
        changed = self.pipeline(self.texts[numbers], rows=numbers, epoch=epoch)
        return self._vectors(changed, given)

    def _vectors(self, texts: Any, like: Any) -> Any:
        """Return the vectors of texts, dense."""
        found = self.vectorizer.transform(texts.tolist())
        dense = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
        if dense.shape != (len(texts), *like.shape[1:]):
            raise ShapeError(
                f"x must have the {dense.shape[1:]} columns of the vectorizer; got "
                f"{like.shape[1:]}. Give vectorizer.transform(texts).toarray()."
            )
        return dense.astype(like.dtype)


def _checked_table(given: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping) or not given:
        raise SpecError(
            "synonyms must be a dict from a word to its synonyms, such as {'good': ['fine']}, with "
            f"at least one word; got {shown(given)}."
        )
    table: dict[str, tuple[str, ...]] = {}
    for word, others in given.items():
        listed = isinstance(others, Sequence) and not isinstance(others, str) and len(others)
        if not isinstance(word, str) or not listed or not all(isinstance(o, str) for o in others):
            raise SpecError(
                f"synonyms[{shown(word)}] must be a list of words with at least one; got "
                f"{shown(others)}."
            )
        table[word] = tuple(others)
    return table


def _synonyms(table: Mapping[str, Sequence[str]], word: str) -> Sequence[str]:
    return table.get(word) or table.get(word.lower(), ())


def _drawn(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
