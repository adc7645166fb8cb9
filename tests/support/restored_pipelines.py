"""Shared by the tests of restored values: pipelines with hostile attributes, loaded and used."""

from __future__ import annotations

import io
import json
import traceback
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn import decomposition, feature_extraction, feature_selection, impute, preprocessing
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import text
from sklearn.pipeline import FeatureUnion, make_pipeline

from deltarule import MLPClassifier, load, save
from deltarule.errors import DeltaruleError
from support.estimators import unconverged
from support.restored_values import NUMBERS, ValueMutator
from support.storage import Archive

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(40, 4))
LABELS = np.where(ROWS[:, 0] > 0, "yes", "no")
WORDS = ["the cat sat", "a dog ran", "the dog sat down", "cat and dog"] * 10
CELLS = np.array([["u", "x"], ["v", "y"], ["u", "z"], ["w", "x"]] * 10, dtype=object)
MIXED = np.column_stack([ROWS.astype(object), CELLS])


def _steps() -> dict[str, tuple[list[Any], Any]]:
    """Return pipelines of all kinds of classes, and rows for each."""
    p, d, f = preprocessing, decomposition, feature_selection
    many = ColumnTransformer(
        [
            ("n", make_pipeline(impute.SimpleImputer(add_indicator=True), p.RobustScaler()),
             [0, 1, 2, 3]),
            ("c", p.OneHotEncoder(min_frequency=11, handle_unknown="infrequent_if_exist"), [4]),
            ("o", p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [5]),
        ],
        n_jobs=1,
    )  # fmt: skip
    return {
        "scalers": ([p.StandardScaler(), p.MinMaxScaler(), p.MaxAbsScaler(), p.PowerTransformer(),
                     p.QuantileTransformer(n_quantiles=5)], ROWS),
        "features": ([p.PolynomialFeatures(2), f.SelectKBest(k=4), p.Normalizer()], ROWS),
        "bins": ([p.KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
                  f.VarianceThreshold(), d.TruncatedSVD(3, random_state=0)], ROWS),
        "columns": ([many, p.StandardScaler(with_mean=False)], MIXED),
        "categories": ([p.OneHotEncoder(drop="first"), d.TruncatedSVD(2, random_state=0)], CELLS),
        "targets": ([p.TargetEncoder(cv=2)], CELLS),
        "counts": ([text.CountVectorizer(), d.TruncatedSVD(3, random_state=0)], WORDS),
        "tf-idf": ([text.TfidfVectorizer(ngram_range=(1, 2)), d.NMF(2, max_iter=60)], WORDS),
        "hashes": ([text.HashingVectorizer(n_features=16), text.TfidfTransformer()], WORDS),
        "dicts": ([feature_extraction.DictVectorizer(), d.TruncatedSVD(2, random_state=0)],
                  [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}] * 20),
        "pca": ([FeatureUnion([("p", d.PCA(2, whiten=True)), ("f", d.FactorAnalysis(2))]),
                 d.FastICA(2, random_state=np.random.RandomState(1))], ROWS),
        "kernel": ([impute.KNNImputer(), d.KernelPCA(2, kernel="rbf"),
                    d.IncrementalPCA(2)], ROWS),
        "topics": ([d.LatentDirichletAllocation(2, max_iter=2, random_state=0)], abs(ROWS)),
        "sparse": ([d.SparsePCA(2, max_iter=5, random_state=0),
                    d.DictionaryLearning(2, max_iter=3)], ROWS),
    }  # fmt: skip


@cache
def pipelines() -> dict[str, tuple[bytes, Any]]:
    """Return the bytes of a file of each pipeline, and rows to use it on."""
    made = {}
    with unconverged(), TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (steps, X) in _steps().items():
            network = MLPClassifier((3,), max_iter=2, random_state=0)
            model = make_pipeline(*steps, network).fit(X, LABELS)
            made[name] = (save(model, Path(folder) / name).read_bytes(), X[:5])
    return made


class Pipelines:
    """Pipelines of allowed classes with hostile attributes."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.path, self.mutator = folder / "m", ValueMutator(seed)
        self.files = [(Archive.of(data), X) for data, X in pipelines().values()]

    def make(self) -> tuple[bytes, Any]:
        draw = self.mutator.draw
        archive, X = draw.choice(self.files)
        tree, arrays = json.loads(json.dumps(archive.tree)), dict(archive.arrays)
        for _ in range(self.mutator.times()):
            if draw.random() < 0.7 or not arrays:
                self._in_tree(tree)
            else:
                name = draw.choice(sorted(arrays))
                arrays[name] = self._array(arrays[name])
        return archive.file(tree, arrays), X

    def _in_tree(self, tree: Any) -> None:
        """Change a plain value of a pipeline, drop an attribute, or put another in its place."""
        leaves, dicts, holders = [], [], [tree]
        for holder in holders:  # the list grows
            children = list(holder.values()) if isinstance(holder, dict) else holder
            holders += [child for child in children if isinstance(child, dict | list)]
            if isinstance(holder, dict):
                if holder.get("__loader__") == "JsonNode":
                    leaves.append(holder)
                if holder.get("__loader__") == "DictNode" and holder["content"]:
                    dicts.append(holder["content"])
        draw, how = self.mutator.draw, self.mutator.draw.random()
        if how < 0.7:
            odd = (*NUMBERS[:-1], None, True, False, "", "filename", "(a+)+$", "word", 9)
            leaf = draw.choice(leaves)
            leaf["content"] = json.dumps(draw.choice(odd))
        elif how < 0.85:
            held, other = draw.choice(dicts), draw.choice(dicts)
            held[draw.choice(sorted(held))] = json.loads(
                json.dumps(draw.choice(list(other.values())))
            )
        else:
            self.mutator._in_value(draw.choice(dicts))

    def _array(self, data: bytes) -> bytes:
        """Return another array: other values, another length or type."""
        draw, array = self.mutator.draw, np.load(io.BytesIO(data))
        how = draw.random()
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if how < 0.6 and array.size and array.dtype.kind in "biuf":
                odd = (np.nan, np.inf, -np.inf, 0, -1, 625, 10**6, 10**9, -(10**9), 1.7e308, 5e-324)
                array = array.copy()
                array.flat[draw.randrange(array.size)] = np.array(draw.choice(odd)).astype(
                    array.dtype
                )
            elif how < 0.8:
                shorter = array[..., :-1] if array.ndim else array
                none = np.resize(array, (0, *array.shape[1:]))
                array = draw.choice((shorter, array.ravel(), none, array[None], array.T))
            elif array.dtype.kind in "biuf":
                array = array.astype(draw.choice(("f4", "i8", "i4", "?", "U3", "f2")))
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0))
        return buffer.getvalue()

    def use(self, made: tuple[bytes, Any]) -> bool:
        """Load and predict; return whether the file was accepted."""
        data, X = made
        self.path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = load(self.path)
            except DeltaruleError:
                return False
            try:
                model.predict(X)
            except DeltaruleError:
                pass
            except (ValueError, TypeError) as error:
                if not _is_worded(error):
                    raise
        return True


def _is_worded(error: Exception) -> bool:
    """Whether scikit-learn itself raised an error, with a message for users.

    Its check of cells that are no numbers passes on NumPy's message.
    """
    where = traceback.extract_tb(error.__traceback__)[-1]
    if where.name == "_asarray_with_order" and "could not convert" in str(error):
        return True
    ours = "sklearn" in where.filename or "deltarule" in where.filename
    return ours and (where.line or "").startswith("raise")
