"""Augmentation: (x, y) ↦ (T(x), y), with random transformations T that keep labels (item D4).

Training on T(x) instead of x, with a new T for every example in every epoch, minimises
E_T[L(f(T(x)), y)] (Ayrapetyan §4.4). A :class:`Compose` applies transformations in order. Training
calls it as ``augmenter(x, rows, epoch) -> x'``; any function with that signature can be used.

- images: :class:`Rotation`, :class:`Translation`, :class:`Scaling`, :class:`Shear`,
  :class:`Flip`, :class:`Crop`, :class:`Elastic`, :class:`GaussianNoise`, :class:`ColorJitter`;
- signals: :class:`TimeShift`, :class:`PitchShift`, :class:`Gain`, :class:`SignalNoise` at a
  signal-to-noise ratio, :class:`GaussianNoise`;
- tables: :class:`GaussianNoise`, with a scale for each column;
- texts: :class:`SynonymReplacement`, :class:`RandomInsertion`, :class:`RandomDeletion`,
  :class:`RandomSwap`; a :class:`TextAugmenter` brings them to training through a vectoriser;
- other data: a function ``f(rng, x) -> x'``, see :class:`RowStreams`.
"""

from deltarule.augmentation.compose import Augmenter, Compose
from deltarule.augmentation.elastic import Elastic
from deltarule.augmentation.geometry import (
    Crop,
    Flip,
    Rotation,
    Scaling,
    Shear,
    Translation,
)
from deltarule.augmentation.intensity import ColorJitter, GaussianNoise
from deltarule.augmentation.signals import Gain, PitchShift, SignalNoise, TimeShift
from deltarule.augmentation.streams import RowStreams
from deltarule.augmentation.text import (
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    TextAugmenter,
)

__all__ = [
    "Augmenter",
    "ColorJitter",
    "Compose",
    "Crop",
    "Elastic",
    "Flip",
    "Gain",
    "GaussianNoise",
    "PitchShift",
    "RandomDeletion",
    "RandomInsertion",
    "RandomSwap",
    "Rotation",
    "RowStreams",
    "Scaling",
    "Shear",
    "SignalNoise",
    "SynonymReplacement",
    "TextAugmenter",
    "TimeShift",
    "Translation",
]
