"""Rules of attributes that no table can say: of encoders, vectorizers, imputers and others.

Each returns the name of an attribute that is not valid, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from deltarule.persistence.attribute_rules import MAX_DEGREE, MAX_FEATURES, holds, is_count

__all__ = ["CLASS_RULES"]


def _vectorizer(given: Mapping[str, Any], held: Any) -> str | None:
    known = given.get("vocabulary_")
    if not isinstance(known, dict) or not _is_numbering(known):
        return "vocabulary_"
    weights = given.get("_tfidf")
    idf = None if weights is None else vars(weights).get("idf_")
    if idf is not None and getattr(idf, "shape", None) != (len(known),):
        return "_tfidf"
    return None


def _is_numbering(known: dict[Any, Any]) -> bool:
    """Whether a dict gives each of its texts another number, from 0 without gaps."""
    numbers = list(known.values())
    return (
        all(isinstance(text, str) for text in known)
        and all(map(is_count, numbers))
        and set(numbers) == set(range(len(numbers)))
        and len(numbers) > 0
    )


def _dict_vectorizer(given: Mapping[str, Any], held: Any) -> str | None:
    known, names = given.get("vocabulary_"), given.get("feature_names_")
    if not isinstance(known, dict) or not _is_numbering(known):
        return "vocabulary_"
    fits = isinstance(names, list) and len(names) == len(known)
    if not fits or any(known.get(name) != i for i, name in enumerate(names or [])):
        return "feature_names_"
    return None if isinstance(given.get("separator"), str) else "separator"


def _categories(given: Mapping[str, Any], held: Any) -> str | None:
    """The categories of an encoder, and what it derives from them."""
    n, known = given.get("n_features_in_"), given.get("categories_")
    if not isinstance(known, list) or len(known) != n:
        return "categories_"
    if not all(isinstance(one, np.ndarray) and one.ndim == 1 and one.size for one in known):
        return "categories_"
    if not all(map(_is_ordered, known)):
        return "categories_"
    if type(given.get("_infrequent_enabled")) is not bool:
        return "_infrequent_enabled"
    if not given["_infrequent_enabled"]:
        return None
    rare, mappings = given.get("_infrequent_indices"), given.get("_default_to_infrequent_mappings")
    if not isinstance(rare, list) or not isinstance(mappings, list):
        return "_infrequent_indices"
    if len(rare) != n or len(mappings) != n:
        return "_infrequent_indices"
    for one, indices, mapping in zip(known, rare, mappings, strict=True):
        if not _is_grouping(len(one), indices, mapping):
            return "_default_to_infrequent_mappings"
    return None


def _is_ordered(categories: Any) -> bool:
    """Whether categories are texts or numbers in plain types, none of them twice."""
    if categories.dtype.kind == "O":
        kinds = (str, bool, int, float, np.number, np.bool_, type(None))
        if not all(isinstance(one, kinds) for one in categories):
            return False
    elif categories.dtype.kind not in "biufU":
        return False
    held = [one for one in categories.tolist() if one == one]
    return len(set(held)) == len(held)


def _is_grouping(size: int, indices: Any, mapping: Any) -> bool:
    """Whether a mapping gives all infrequent categories the last number, and others their own."""
    if indices is None or mapping is None:
        return indices is None and mapping is None
    if not holds({"i": indices}, "i", "index f", {"n": size}) or len(indices) == 0:
        return False
    expected = np.empty(size, np.int64)
    expected[indices] = size - len(indices)
    frequent = np.setdiff1d(np.arange(size), indices)
    expected[frequent] = np.arange(len(frequent))
    return isinstance(mapping, np.ndarray) and np.array_equal(mapping, expected)


def _one_hot(given: Mapping[str, Any], held: Any) -> str | None:
    fault = _categories(given, held)
    if fault is not None:
        return fault
    known = given["categories_"]
    for name in ("drop_idx_", "_drop_idx_after_grouping"):
        dropped = given.get(name)
        if dropped is None:
            continue
        if not isinstance(dropped, np.ndarray) or dropped.shape != (len(known),):
            return name
        for one, index in zip(known, dropped, strict=True):
            if index is not None and not (is_count(index) and index < len(one)):
                return name
    if (given.get("drop_idx_") is None) != (given.get("_drop_idx_after_grouping") is None):
        return "drop_idx_"
    widths = given.get("_n_features_outs")
    if not isinstance(widths, list) or not all(map(is_count, widths)):
        return "_n_features_outs"
    return None if widths == held._compute_n_features_outs() else "_n_features_outs"


def _ordinal(given: Mapping[str, Any], held: Any) -> str | None:
    fault = _categories(given, held)
    missing = given.get("_missing_indices")
    if fault is None and missing is not None:
        known = given["categories_"]
        valid = isinstance(missing, dict) and all(
            is_count(i) and i < len(known) and is_count(j) and j < len(known[i])
            for i, j in missing.items()
        )
        return None if valid else "_missing_indices"
    return fault


def _target_encoder(given: Mapping[str, Any], held: Any) -> str | None:
    fault = _categories(given, held)
    if fault is not None:
        return fault
    known, encodings, kind = (
        given["categories_"],
        given.get("encodings_"),
        given.get("target_type_"),
    )
    if kind not in ("continuous", "binary", "multiclass"):
        return "target_type_"
    classes = given.get("classes_")
    if kind == "multiclass" and not (isinstance(classes, np.ndarray) and classes.ndim == 1):
        return "classes_"
    times = len(classes) if kind == "multiclass" and classes is not None else 1
    shape = "" if times == 1 and kind != "multiclass" else " c"
    if not holds(given, "target_mean_", f"finite{shape}", {"c": times}):
        return "target_mean_"
    if not isinstance(encodings, list) or len(encodings) != times * len(known):
        return "encodings_"
    for number, encoding in enumerate(encodings):
        size = len(known[number // times])
        if not holds({"e": encoding}, "e", "finite s", {"s": size}):
            return "encodings_"
    return None


def _bins(given: Mapping[str, Any], held: Any) -> str | None:
    n, edges, bins = given.get("n_features_in_"), given.get("bin_edges_"), given["n_bins_"]
    if bins.dtype.kind not in "iu" or (bins < 1).any() or bins.max() > MAX_FEATURES:
        return "n_bins_"
    if not isinstance(edges, np.ndarray) or edges.shape != (n,):
        return "bin_edges_"
    for one, count in zip(edges, bins, strict=True):
        valid = holds({"e": one}, "e", "number s", {"s": int(count) + 1})
        if not valid or not (np.diff(one) >= 0).all():
            return "bin_edges_"
    encoder = given.get("_encoder")
    if encoder is None:
        return None if given.get("encode") == "ordinal" else "_encoder"
    known = vars(encoder).get("categories_")
    if not isinstance(known, list) or len(known) != n:
        return "_encoder"
    pairs = zip(known, bins, strict=True)
    return None if all(np.array_equal(one, np.arange(b)) for one, b in pairs) else "_encoder"


def _polynomial(given: Mapping[str, Any], held: Any) -> str | None:
    n, degree = given.get("n_features_in_"), given["degree"]
    low, high = (0, degree) if is_count(degree) else degree
    if not is_count(n) or not is_count(high) or high > MAX_DEGREE or low > high:
        return "degree"
    again = PolynomialFeatures(**held.get_params(deep=False)).fit(np.zeros((1, int(n or 0))))
    for name in ("_min_degree", "_max_degree", "n_output_features_", "_n_out_full"):
        if given.get(name) != getattr(again, name) or type(given[name]) is bool:
            return name
    return None if given["n_output_features_"] <= MAX_FEATURES else "degree"


def _columns(given: Mapping[str, Any], held: Any) -> str | None:
    n, parts = given.get("n_features_in_"), given.get("transformers_")
    where, outputs = given.get("_transformer_to_input_indices"), given.get("output_indices_")
    if type(given.get("sparse_output_")) is not bool:
        return "sparse_output_"
    if not is_count(n) or not isinstance(parts, list):
        return "transformers_"
    if not isinstance(where, dict) or not all(
        isinstance(one, list) and all(is_count(i) and i < n for i in one) for one in where.values()
    ):
        return "_transformer_to_input_indices"
    if not isinstance(outputs, dict) or not all(
        isinstance(one, slice) and is_count(one.start) and is_count(one.stop)
        for one in outputs.values()
    ):
        return "output_indices_"
    for part in parts:
        if type(part) is not tuple or len(part) != 3 or part[0] not in where:
            return "transformers_"
        inner = part[1]
        width = getattr(inner, "n_features_in_", None)
        if isinstance(inner, str) and inner not in ("drop", "passthrough"):
            return "transformers_"
        if is_count(width) and not isinstance(inner, str) and width != len(where[part[0]]):
            return "transformers_"
        if not _is_choice(part[2], given, where[part[0]]):
            return "transformers_"
    return None


def _is_choice(chosen: Any, given: Mapping[str, Any], where: list[int]) -> bool:
    """Whether a transformer's columns are the ones of these numbers."""
    names, n = given.get("feature_names_in_"), given["n_features_in_"]
    if isinstance(chosen, slice):
        parts = (chosen.start, chosen.stop, chosen.step)
        return all(p is None or isinstance(p, int | str) for p in parts) and chosen.step != 0
    items = [chosen] if isinstance(chosen, str | int | np.integer) else chosen
    if not isinstance(items, list | tuple | np.ndarray):
        return False
    if len(items) == n and all(isinstance(one, bool | np.bool_) for one in items):
        return where == [i for i, one in enumerate(items) if one]
    known = [] if names is None else list(names)
    for one in items:
        if isinstance(one, str) and one not in known:
            return False
        if not isinstance(one, str) and not (
            isinstance(one, int | np.integer) and not isinstance(one, bool) and -n <= one < n
        ):
            return False
    numbers = [known.index(one) if isinstance(one, str) else int(one) % n for one in items]
    return numbers == where


def _imputer(given: Mapping[str, Any], held: Any) -> str | None:
    indicator = given.get("indicator_")
    if (indicator is not None) != bool(given.get("add_indicator")):
        return "indicator_"
    if indicator is None:
        return None
    own = vars(indicator)  # made by the imputer, for what it can join with its own columns
    fits = own.get("sparse") == "auto" and own.get("features") == "missing-only"
    return None if fits and own.get("n_features_in_") == given["n_features_in_"] else "indicator_"


def _factors(given: Mapping[str, Any], held: Any) -> str | None:
    components = given["components_"]
    with np.errstate(all="ignore"):
        inner = (components / given["noise_variance_"]) @ components.T
    return None if np.isfinite(inner).all() else "noise_variance_"


def _power(given: Mapping[str, Any], held: Any) -> str | None:
    scaler, n = given.get("_scaler"), given["n_features_in_"]
    if bool(given.get("standardize")) != (scaler is not None):
        return "_scaler"
    return None if scaler is None or vars(scaler).get("n_features_in_") == n else "_scaler"


def _kernel(given: Mapping[str, Any], held: Any) -> str | None:
    centerer, m = given.get("_centerer"), len(given["X_fit_"])
    fits = centerer is not None and vars(centerer).get("n_features_in_") == m
    return None if fits else "_centerer"


def _topics(given: Mapping[str, Any], held: Any) -> str | None:
    same = given["components_"].dtype == given["exp_dirichlet_component_"].dtype
    return None if same else "exp_dirichlet_component_"


CLASS_RULES: dict[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "CountVectorizer": _vectorizer, "TfidfVectorizer": _vectorizer,
    "DictVectorizer": _dict_vectorizer, "OneHotEncoder": _one_hot, "OrdinalEncoder": _ordinal,
    "TargetEncoder": _target_encoder, "KBinsDiscretizer": _bins,
    "SimpleImputer": _imputer, "KNNImputer": _imputer, "FactorAnalysis": _factors,
    "LatentDirichletAllocation": _topics, "PowerTransformer": _power, "KernelPCA": _kernel,
    "PolynomialFeatures": _polynomial, "ColumnTransformer": _columns,
}  # fmt: skip
