"""Texts and sounds: shares and ratios against their definitions, and training on texts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

import deltarule as dr
from deltarule.augmentation import (
    Compose,
    Gain,
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SignalNoise,
    SynonymReplacement,
    TextAugmenter,
)
from deltarule.errors import DataError, ShapeError, SpecError
from support.estimators import unconverged

TABLE = {"good": ["fine", "great"], "bad": ["poor"]}
TEXTS = st.lists(st.sampled_from(["good", "bad", "Good", "film", "ä", "x1"]), max_size=12)


def changed(transform: Any, texts: list[str], seed: int = 0, epoch: int = 0) -> list[str]:
    held = np.empty(len(texts), dtype=object)
    held[:] = texts
    return list(Compose([transform], seed=seed)(held, rows=np.arange(len(texts)), epoch=epoch))


@given(words=TEXTS, seed=st.integers(0, 100))
def test_what_each_transformation_keeps(words: list[str], seed: int) -> None:
    text = " ".join(words)
    (replaced,) = changed(SynonymReplacement(TABLE, 0.5), [text], seed)
    for before, after in zip(words, replaced.split(), strict=True):
        assert after == before or after in TABLE[before.lower()]
    (longer,) = changed(RandomInsertion(TABLE, 0.5), [text], seed)
    added = Counter(longer.split()) - Counter(words)
    assert set(added) <= {"fine", "great", "poor"}
    assert not Counter(words) - Counter(longer.split())
    (shorter,) = changed(RandomDeletion(0.5), [text], seed)
    rest = iter(words)
    assert all(word in rest for word in shorter.split())  # a subsequence
    assert bool(shorter) == bool(words)
    (swapped,) = changed(RandomSwap(3), [text], seed)
    assert Counter(swapped.split()) == Counter(words)


def test_shares_and_choices_are_the_rates() -> None:
    text = " ".join(["good"] * 20_000)
    counts = Counter(changed(SynonymReplacement(TABLE, 0.3), [text])[0].split())
    assert stats.binomtest(counts["good"], 20_000, 0.7).pvalue > 1e-4
    assert stats.binomtest(counts["fine"], 20_000 - counts["good"], 0.5).pvalue > 1e-4
    kept = len(changed(RandomDeletion(0.2), [text])[0].split())
    assert stats.binomtest(kept, 20_000, 0.8).pvalue > 1e-4
    longer = len(changed(RandomInsertion(TABLE, 0.1), [" ".join(["bad"] * 2000)])[0].split())
    assert stats.binomtest(longer - 2000, 2000, 0.1).pvalue > 1e-4
    assert changed(RandomDeletion(1.0), ["a b c"])[0] in ("a", "b", "c")
    pairs = Counter(changed(RandomSwap(1), ["a b c"] * 3000))
    assert set(pairs) == {"b a c", "c b a", "a c b"}
    assert stats.chisquare(list(pairs.values())).pvalue > 1e-4


def test_a_texts_changes_depend_on_seed_epoch_and_row_alone() -> None:
    texts = ["good film bad story"] * 50
    held = np.array(texts, dtype=object)
    pipeline = Compose([SynonymReplacement(TABLE, 0.5), RandomSwap(1)], seed=3)
    whole = pipeline(held, rows=np.arange(50), epoch=2)
    part = pipeline(held[:5], rows=np.arange(30, 35), epoch=2)
    assert list(part) == list(whole[30:35])
    assert len(set(whole)) > 5
    assert list(pipeline(held, rows=np.arange(50), epoch=3)) != list(whole)


def test_texts_reach_training_through_a_vectoriser() -> None:
    texts = ["good film", "fine story", "bad film", "poor story", "great good", "bad poor"]
    y = np.array([1, 1, 0, 0, 1, 0])
    vectorizer = TfidfVectorizer().fit(texts)
    X = vectorizer.transform(texts).toarray()
    augment = TextAugmenter(texts, vectorizer, [SynonymReplacement(TABLE, 0.5)], seed=1)
    seen = [augment(X, np.arange(6), epoch) for epoch in range(3)]
    assert not np.array_equal(seen[0], seen[1])
    for epoch, x in enumerate(seen):
        new = augment.pipeline(augment.texts, rows=np.arange(6), epoch=epoch)
        np.testing.assert_array_equal(x, vectorizer.transform(list(new)).toarray())
    with unconverged():
        model = dr.MLPClassifier((5,), max_iter=40, random_state=0, augment=augment).fit(X, y)
        plain = dr.MLPClassifier((5,), max_iter=40, random_state=0).fit(X, y)
        same = dr.MLPClassifier((5,), max_iter=40, random_state=0, augment=augment).fit(X, y)
    assert not np.array_equal(model.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])
    with unconverged(), pytest.raises(DataError, match="early_stopping=True its own X_val"):
        dr.MLPClassifier(
            (5,), max_iter=2, early_stopping=True, validation_fraction=0.5, augment=augment
        ).fit(X, y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SynonymReplacement([("a", "b")]), SpecError, "a dict from a word"),
        (lambda: SynonymReplacement({"a": "b"}), SpecError, "a list of words"),
        (lambda: RandomInsertion({}), SpecError, "at least one word"),
        (lambda: SynonymReplacement({"a": []}), SpecError, "at least one"),
        (lambda: RandomInsertion(TABLE, 1.5), SpecError, "rate"),
        (lambda: RandomSwap(-1), SpecError, "swaps"),
        (lambda: Compose([RandomSwap()])(np.zeros((2, 3))), DataError, "TextAugmenter"),
        (lambda: TextAugmenter("text", CountVectorizer(), []), SpecError, "sequence of strings"),
        (lambda: TextAugmenter(["a"], "count", []), SpecError, "TfidfVectorizer"),
        (lambda: augmenter()(np.zeros((3, 2)), np.arange(3), 0), ShapeError, "below the 2 texts"),
        (lambda: augmenter()(np.zeros((2, 9)), np.arange(2), 0), ShapeError, "columns"),
        (lambda: augmenter()(np.ones((2, 2)), np.arange(2), 0), DataError, "not what"),
        (lambda: SignalNoise((5, 1)), SpecError, "Swap them"),
        (lambda: Gain(400), SpecError, "decibels"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def augmenter() -> TextAugmenter:
    texts = ["good film", "bad film film"]
    return TextAugmenter(texts, CountVectorizer(vocabulary=["good", "film"]).fit(texts), [])


# --- sounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("decibels", [-6.0, 0.0, 20.0])
def test_noise_has_the_ratio_to_the_signal(decibels: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 200_000)) * np.array([[0.01], [1.0], [30.0], [0.0]])
    noise = Compose([SignalNoise(decibels)])(x) - x
    powers = np.mean(x[:3] ** 2, axis=1), np.mean(noise[:3] ** 2, axis=1)
    np.testing.assert_allclose(10 * np.log10(powers[0] / powers[1]), decibels, atol=0.05)
    assert not noise[3].any()
    assert abs(stats.norm.fit(noise[1])[0]) < 0.02


def test_the_ratio_and_the_gain_are_drawn_for_each_row() -> None:
    x = np.ones((2000, 64))
    gains = 20 * np.log10(Compose([Gain((-3, 9))])(x))
    np.testing.assert_allclose(gains, gains[:, :1].repeat(64, axis=1), atol=1e-12)
    assert stats.kstest(gains[:, 0], stats.uniform(-3, 12).cdf).pvalue > 1e-4
    loud = Compose([Gain((6.0206, 6.0206))])(x[:1])
    np.testing.assert_allclose(loud, 2.0, rtol=1e-5)  # 20 log10 2 = 6.0206 dB
    noisy = Compose([SignalNoise((0, 40))])(np.ones((300, 4096)))
    ratios = -10 * np.log10(np.var(noisy, axis=1))
    assert stats.kstest(ratios, stats.uniform(0, 40).cdf).pvalue > 1e-4
    assert Compose([SignalNoise(10), Gain(3)])(x.astype(np.float32)).dtype == np.float32
