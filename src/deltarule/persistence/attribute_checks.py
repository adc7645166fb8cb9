"""Checks of the attributes of a pipeline's objects, before any code of scikit-learn uses them.

scikit-learn trusts what ``fit`` has set: a wrong index leads its sparse matrices out of their
memory. Every rule here is one line of a table: by class, the attributes with the values that each
may hold, and their shape. The letter n stands for ``n_features_in_``; another letter for a length
that must be the same everywhere in the object. "?" also allows None, or no such attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures

from deltarule.errors import ModelFileError
from deltarule.persistence.token_patterns import is_harmless
from deltarule.utils.random_streams import is_stream_state

__all__ = ["check_attributes", "check_steps", "check_stream", "reset_addresses", "reset_processes"]

MAX_ITERATIONS = 100_000
"""The most iterations of a transformation; a file could ask for ones without an end."""
MAX_NGRAM = 100
MAX_DEGREE = 20
MAX_FEATURES = 2**24
LARGEST = 1e100
"""The largest finite number: squares, and products with rows, stay far from overflow."""

_KINDS: dict[str, Callable[[Any], Any]] = {
    "finite": lambda a: np.abs(a) <= LARGEST,
    "nonnegative": lambda a: (a >= 0) & (a <= LARGEST),
    "positive": lambda a: (a > 0) & (a <= LARGEST),
}
_Checks: TypeAlias = Mapping[str, str]

_COMPONENTS = {"components_": "finite k,n", "n_components_": "=k?", "mean_": "finite n?"}
_PCA = _COMPONENTS | {
    "explained_variance_": "nonnegative k", "explained_variance_ratio_": "number k",
    "singular_values_": "number k", "noise_variance_": "nonnegative",
}  # fmt: skip
_UNIVARIATE = {"scores_": "number n", "pvalues_": "number n?"}
_SCALED = {"scale_": "positive n?", "n_samples_seen_": "any?"}
_NMF = _COMPONENTS | {
    "components_": "nonnegative k,n",
    "_n_components": "=k",
    "_beta_loss": "finite",
}
_CHOSEN = {"support_": "bool n"}

ATTRIBUTES: dict[str, _Checks] = {
    "StandardScaler": _SCALED | {"mean_": "finite n?", "var_": "nonnegative n?"},
    "MinMaxScaler": {
        "scale_": "finite n", "min_": "finite n", "data_min_": "number n",
        "data_max_": "number n", "data_range_": "number n",
    },
    "MaxAbsScaler": _SCALED | {"max_abs_": "number n"},
    "RobustScaler": _SCALED | {"center_": "finite n?"},
    "QuantileTransformer": {"references_": "finite q", "quantiles_": "number q,n",
                            "n_quantiles_": "=q"},
    "PowerTransformer": {"lambdas_": "number n"},
    "KBinsDiscretizer": {"n_bins_": "counts n"},
    "KNNImputer": {"_fit_X": "number m,n", "_mask_fit_X": "bool m,n", "_valid_mask": "bool n"},
    "SimpleImputer": {"statistics_": "cells n"},
    "MissingIndicator": {"features_": "index f", "_n_features": "=n"},
    "PCA": _PCA,
    "IncrementalPCA": _PCA | {"var_": "number n"},
    "KernelPCA": {
        "X_fit_": "finite m,n", "eigenvalues_": "nonnegative k", "eigenvectors_": "finite m,k",
        "gamma_": "finite?",
    },
    "KernelCenterer": {"K_fit_rows_": "finite n", "K_fit_all_": "finite"},
    "TruncatedSVD": _COMPONENTS,
    "FactorAnalysis": _COMPONENTS | {"noise_variance_": "positive n"},
    "FastICA": _COMPONENTS | {"mixing_": "finite n,k", "whitening_": "finite k,n?"},
    "NMF": _NMF,
    "MiniBatchNMF": _NMF | {
        "_components_numerator": "number k,n", "_components_denominator": "number k,n",
        "_transform_max_iter": "positive", "_rho": "finite", "_gamma": "finite",
    },
    "LatentDirichletAllocation": {
        "components_": "nonnegative k,n", "exp_dirichlet_component_": "nonnegative k,n",
        "doc_topic_prior_": "positive", "topic_word_prior_": "positive",
    },
    "SparsePCA": _COMPONENTS,
    "MiniBatchSparsePCA": _COMPONENTS,
    "DictionaryLearning": _COMPONENTS,
    "MiniBatchDictionaryLearning": _COMPONENTS,
    "SparseCoder": {"dictionary": "finite k,n"},
    "GenericUnivariateSelect": _UNIVARIATE, "SelectFdr": _UNIVARIATE, "SelectFpr": _UNIVARIATE,
    "SelectFwe": _UNIVARIATE, "SelectKBest": _UNIVARIATE, "SelectPercentile": _UNIVARIATE,
    "VarianceThreshold": {"variances_": "number n"},
    "SequentialFeatureSelector": _CHOSEN,
    "RFE": _CHOSEN | {"ranking_": "counts n"}, "RFECV": _CHOSEN | {"ranking_": "counts n"},
    "TfidfTransformer": {"idf_": "finite n?"},
}  # fmt: skip
"""What fitted objects hold; attributes that no prediction reads are not listed."""

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
        if not _is_count(n) or not 1 <= n <= MAX_FEATURES:
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
        if not _holds(given, attribute, rule, lengths):
            raise _refusal(place, attribute)
    special = _SPECIAL.get(name)
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
    return int(width) if _is_count(width) else None


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
        if most is not None and not (_is_count(most) and most <= MAX_ITERATIONS):
            raise _refusal(place, name)
    lengths = given.get("ngram_range")
    if lengths is not None and not (
        type(lengths) in (tuple, list)
        and len(lengths) == 2
        and all(map(_is_count, lengths))
        and 1 <= lengths[0] <= lengths[1] <= MAX_NGRAM
    ):
        raise _refusal(place, "ngram_range")
    if "n_features" in given and not (
        _is_count(given["n_features"]) and given["n_features"] <= MAX_FEATURES
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


def _is_count(value: Any) -> bool:
    return (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and bool(0 <= value < 2**62)
    )


def _holds(given: Mapping[str, Any], name: str, rule: str, lengths: dict[str, int]) -> bool:
    """Whether an attribute holds what its rule says."""
    if given.get(name) is None:
        return rule.endswith("?")
    value: Any = given[name]
    kind, _, shape = rule.removesuffix("?").partition(" ")
    if kind == "any":
        return True
    if kind.startswith("="):
        return _is_count(value) and lengths.setdefault(kind[1:], int(value)) == int(value)
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**62):
        value = np.array(value)
    if type(value) is not np.ndarray and not isinstance(value, np.generic):
        return False
    value = np.asarray(value)
    letters = shape.split(",") if shape else []
    if value.ndim != len(letters) or any(
        lengths.setdefault(letter, length) != length
        for letter, length in zip(letters, value.shape, strict=True)
    ):
        return False
    if kind == "cells":
        return value.dtype.kind in "biufUO"
    if kind == "bool":
        return bool(value.dtype == np.bool_)
    if kind == "index":
        inside = value.dtype.kind in "iu" and bool(((value >= 0) & (value < lengths["n"])).all())
        return inside and len(np.unique(value)) == len(value)
    if kind == "counts":
        return value.dtype.kind in "iu" and bool((value >= 1).all())
    if value.dtype not in (np.float32, np.float64) and letters:
        return False
    if value.dtype.kind not in "iuf":
        return False
    return kind == "number" or bool(np.all(_KINDS[kind](value)))


# --- classes with rules of their own, which return the name of an attribute that is not valid -----


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
        and all(map(_is_count, numbers))
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
    if not _holds({"i": indices}, "i", "index f", {"n": size}) or len(indices) == 0:
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
            if index is not None and not (_is_count(index) and index < len(one)):
                return name
    if (given.get("drop_idx_") is None) != (given.get("_drop_idx_after_grouping") is None):
        return "drop_idx_"
    widths = given.get("_n_features_outs")
    if not isinstance(widths, list) or not all(map(_is_count, widths)):
        return "_n_features_outs"
    return None if widths == held._compute_n_features_outs() else "_n_features_outs"


def _ordinal(given: Mapping[str, Any], held: Any) -> str | None:
    fault = _categories(given, held)
    missing = given.get("_missing_indices")
    if fault is None and missing is not None:
        known = given["categories_"]
        valid = isinstance(missing, dict) and all(
            _is_count(i) and i < len(known) and _is_count(j) and j < len(known[i])
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
    if not _holds(given, "target_mean_", f"finite{shape}", {"c": times}):
        return "target_mean_"
    if not isinstance(encodings, list) or len(encodings) != times * len(known):
        return "encodings_"
    for number, encoding in enumerate(encodings):
        size = len(known[number // times])
        if not _holds({"e": encoding}, "e", "finite s", {"s": size}):
            return "encodings_"
    return None


def _bins(given: Mapping[str, Any], held: Any) -> str | None:
    n, edges, bins = given.get("n_features_in_"), given.get("bin_edges_"), given["n_bins_"]
    if bins.dtype.kind not in "iu" or (bins < 1).any() or bins.max() > MAX_FEATURES:
        return "n_bins_"
    if not isinstance(edges, np.ndarray) or edges.shape != (n,):
        return "bin_edges_"
    for one, count in zip(edges, bins, strict=True):
        valid = _holds({"e": one}, "e", "number s", {"s": int(count) + 1})
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
    low, high = (0, degree) if _is_count(degree) else degree
    if not _is_count(n) or not _is_count(high) or high > MAX_DEGREE or low > high:
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
    if not _is_count(n) or not isinstance(parts, list):
        return "transformers_"
    if not isinstance(where, dict) or not all(
        isinstance(one, list) and all(_is_count(i) and i < n for i in one) for one in where.values()
    ):
        return "_transformer_to_input_indices"
    if not isinstance(outputs, dict) or not all(
        isinstance(one, slice) and _is_count(one.start) and _is_count(one.stop)
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
        if _is_count(width) and not isinstance(inner, str) and width != len(where[part[0]]):
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


_SPECIAL: dict[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "CountVectorizer": _vectorizer, "TfidfVectorizer": _vectorizer,
    "DictVectorizer": _dict_vectorizer, "OneHotEncoder": _one_hot, "OrdinalEncoder": _ordinal,
    "TargetEncoder": _target_encoder, "KBinsDiscretizer": _bins,
    "SimpleImputer": _imputer, "KNNImputer": _imputer, "FactorAnalysis": _factors,
    "LatentDirichletAllocation": _topics, "PowerTransformer": _power, "KernelPCA": _kernel,
    "PolynomialFeatures": _polynomial, "ColumnTransformer": _columns,
}  # fmt: skip
