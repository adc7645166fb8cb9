"""Checks of the attributes of a pipeline's objects, before any code of scikit-learn uses them.

scikit-learn trusts what ``fit`` has set: a wrong index leads its sparse matrices out of their
memory. What each class may hold is in ``attribute_rules`` and ``class_rules``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.pipeline import Pipeline

from deltarule.errors import ModelFileError
from deltarule.persistence.attribute_rules import ATTRIBUTES, MAX_FEATURES, holds, is_count
from deltarule.persistence.class_rules import CLASS_RULES
from deltarule.persistence.token_patterns import is_harmless
from deltarule.utils.random_streams import is_stream_state

__all__ = [
    "check_attributes",
    "check_steps",
    "check_stream",
    "reset_addresses",
    "reset_processes",
]

MAX_ITERATIONS = 100_000
"""The most iterations of a transformation; a file could ask for ones without an end."""
MAX_NGRAM = 100

_OUTPUTS = ("default", "pandas", "polars", None)
_PARTS = {
    "_scaler": "StandardScaler", "_centerer": "KernelCenterer", "_encoder": "OneHotEncoder",
    "_tfidf": "TfidfTransformer", "indicator_": "MissingIndicator",
}  # fmt: skip
"""The classes of objects that others of scikit-learn's own make when they are fitted."""
_ITERATIONS = ("max_iter", "transform_max_iter", "max_doc_update_iter", "_transform_max_iter")


def check_attributes(place: str, held: Any) -> None:
    """Raise ``ModelFileError`` unless what an object holds is safe to predict with."""
    _check_arguments(place, held)
    given, name = vars(held), type(held).__name__
    n = given.get("n_features_in_")
    if n is None and not any(key.endswith("_") for key in given):
        return  # not fitted, such as what a ColumnTransformer was given
    lengths: dict[str, int] = {}
    if n is not None:
        if not is_count(n) or not 1 <= n <= MAX_FEATURES:
            raise _refusal(place, "n_features_in_")
        lengths["n"] = int(n)
    names = given.get("feature_names_in_")
    if names is not None and not (
        isinstance(names, np.ndarray)
        and names.shape == (n,)
        and all(isinstance(one, str) for one in names)
    ):
        raise _refusal(place, "feature_names_in_")
    for attribute, rule in ATTRIBUTES.get(name, {}).items():
        if not holds(given, attribute, rule, lengths):
            raise _refusal(place, attribute)
    special = CLASS_RULES.get(name)
    fault = None if special is None else special(given, held)
    if fault is not None:
        raise _refusal(place, fault)


def check_stream(place: str, stream: np.random.RandomState) -> None:
    """Raise ``ModelFileError`` unless a random stream can draw without leaving its memory."""
    if not is_stream_state(stream.get_state(legacy=False)):
        raise ModelFileError(f"{place[:80]} is no valid random stream")


def check_steps(place: str, held: Any) -> None:
    """Raise ``ModelFileError`` if a step of a pipeline does not take what the one before it gives.

    Only for objects that ``check_attributes`` has let pass, steps and all.
    """
    width: int | None = None
    for name, step in vars(held).get("steps", ()) if type(held) is Pipeline else ():
        if step is None or isinstance(step, str):
            continue
        expected = getattr(step, "n_features_in_", None)
        if width is not None and expected is not None and expected != width:
            raise ModelFileError(
                f"{place[:80]}.{name[:40]} takes {expected} features, but the step before it "
                f"gives {width}"
            )
        width = _outputs(step)


def _outputs(step: Any) -> int | None:
    """Return how many columns a fitted transformer gives; None if its attributes do not say."""
    given = vars(step)
    if isinstance(step, OneToOneFeatureMixin):
        return given.get("n_features_in_")
    for name, count in (
        ("vocabulary_", len), ("_n_features_outs", sum), ("n_output_features_", int),
    ):  # fmt: skip
        if given.get(name) is not None:
            return int(count(given[name]))
    if given.get("output_indices_"):
        return max(int(one.stop) for one in given["output_indices_"].values())
    width: Any = getattr(step, "_n_features_out", None)
    return int(width) if is_count(width) else None


def reset_processes(held: Any) -> None:
    """Make an object of a file compute in this process, whatever the file says."""
    if vars(held).get("n_jobs") is not None:
        held.n_jobs = None


def reset_addresses(held: Any) -> None:
    """Forget an address that scikit-learn compares: in another process it means nothing."""
    vars(held).pop("_stop_words_id", None)


def _refusal(place: str, attribute: str) -> ModelFileError:
    return ModelFileError(
        f"{place[:80]}.{attribute} is not what fitting sets, or not allowed in a file "
        "(docs/format.md)"
    )


def _check_arguments(place: str, held: Any) -> None:
    """Refuse arguments that open files, never end, or take memory out of proportion."""
    given = vars(held)
    if given.get("input", "content") != "content":
        raise _refusal(place, "input")
    for name, size in (("steps", 2), ("transformer_list", 2), ("transformers", 3)):
        if name in given and not _is_named(given[name], size):
            raise _refusal(place, name)
    output = given.get("_sklearn_output_config", {})
    if not isinstance(output, dict) or any(
        key != "transform" or value not in _OUTPUTS for key, value in output.items()
    ):
        raise _refusal(place, "set_output")
    for name in ("token_pattern", "pattern"):
        if given.get(name) is not None and not is_harmless(given[name]):
            raise _refusal(place, name)
    if given.get("analyzer") == "word" and "token_pattern" in given and not given["token_pattern"]:
        raise _refusal(place, "token_pattern")
    if not _is_dtype(given.get("dtype")):
        raise _refusal(place, "dtype")
    weights = given.get("transformer_weights")
    if weights is not None and not (
        isinstance(weights, dict) and all(isinstance(w, int | float) for w in weights.values())
    ):
        raise _refusal(place, "transformer_weights")
    for name, kind in _PARTS.items():
        part = given.get(name)
        if part is not None and type(part).__name__ != kind:
            raise _refusal(place, name)
    for name in _ITERATIONS:
        most = given.get(name)
        if most is not None and not (is_count(most) and most <= MAX_ITERATIONS):
            raise _refusal(place, name)
    lengths = given.get("ngram_range")
    if lengths is not None and not (
        type(lengths) in (tuple, list)
        and len(lengths) == 2
        and all(map(is_count, lengths))
        and 1 <= lengths[0] <= lengths[1] <= MAX_NGRAM
    ):
        raise _refusal(place, "ngram_range")
    if "n_features" in given and not (
        is_count(given["n_features"]) and given["n_features"] <= MAX_FEATURES
    ):
        raise _refusal(place, "n_features")


def _is_named(parts: Any, size: int) -> bool:
    """Whether a value is a list of tuples of this size that begin with names of their own."""
    return (
        isinstance(parts, list)
        and all(type(part) is tuple and len(part) == size for part in parts)
        and all(isinstance(part[0], str) for part in parts)
        and len({part[0] for part in parts}) == len(parts)
    )


def _is_dtype(given: Any) -> bool:
    """Whether a value names a type of numbers or of objects, or none."""
    if not isinstance(given, type | np.dtype | str | None):
        return False
    try:
        return given is None or np.dtype(given).kind in "biufO"
    except TypeError:
        return False
