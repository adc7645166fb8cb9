"""Classes of tables as they come"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from deltarule.errors import TableError
from deltarule.metrics._inputs import check_weight
from deltarule.tables.messages import listing
from deltarule.tables.model import TableModel
from deltarule.tables.record import Classes, Task
from deltarule.tables.sources.targets import HeldTarget, read_target
from deltarule.tables.tabular.base import BaseTabular
from deltarule.tables.tabular.classes import classes_of, label_places
from deltarule.tables.tabular.python_words import speaking_python

__all__ = ["TabularClassifier"]


class TabularClassifier(ClassifierMixin, BaseTabular):
    """A network that learns classes from a table as it comes.

    Columns of numbers, categories, booleans and dates, with missing values, of pandas, Polars or
    Arrow, or an array; what each column holds is decided by all of its cells, as by
    ``deltarule train``, and so is everything else. ``MLPClassifier`` is the drop-in for
    scikit-learn's estimator of arrays.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, optional
        Widths of the hidden layers; of one network (128, 64) by default. Like the other arguments
        without a default here, the networks of an ensemble have it each for itself; what is given
        holds for all of them.
    activation : str, optional
        Activation of the hidden layers: any of ``deltarule.spec.ACTIVATIONS``; "relu" by default.
    ensemble : int or "auto", default="auto"
        How many networks are trained and averaged, each on all rows but a fold of its own. "auto"
        is 8 (4 from 20 000 rows on); 1 for fewer than 100 rows, for 100 000 or more, and if an
        argument describes one network: those without a default here, `validation_fraction`,
        `time`, `checkpoint`. 1 is one network, with dev rows.
    scaling : {"auto", "standard", "quantiles"}, default="auto"
        Columns of numbers: standardised, or normal scores by their quantiles; "auto" are the latter
        for an ensemble.
    bins : int or "auto", default="auto"
        Bins of the piecewise-linear encoding beside every number: "auto" is 24 for an ensemble
        (fewer beyond 100 columns of numbers, none beyond 600), and 0 for one network.
    target_transform : {"auto"}, default="auto"
        As in ``TabularRegressor``; classes are learned as they are.
    recipes : list of dict, optional
        Settings of the networks, in turn: `hidden_layer_sizes`, `activation`,
        `learning_rate_init`, `dropout` and `weight_decay` (AdamW's, which takes steps under a
        cosine of the rate). By default an ensemble has four that suit most tables, and one network
        has what the other arguments say; ``tune`` finds others.
    alpha : float, optional
        L2 penalty, as in ``MLPClassifier``; 0.3 by default.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is 16 to 256, by the number of rows.
    learning_rate_init : float, optional
        Adam's learning rate; 0.001 by default.
    max_iter : int, optional
        The maximum number of epochs; 500 by default.
    n_iter_no_change : int, optional
        Epochs in a row without a better dev score before training stops; 50 by default. Of an
        ensemble, without a lower loss on the fold.
    monitor : {"auto", "loss", "score"}, default="auto"
        What stops training, on rows that it does not learn from: the loss, or the accuracy, then
        the log loss.
        "auto" is the loss for an ensemble, and the score for one network.
    max_seconds : float, optional
        Seconds, above 0, that training may take: an ensemble then has as many networks, of as many
        epochs, as there is time for, and a warning says what was left out. Which they are depends
        on the machine's speed. By default there is no limit.
    dropout : float, optional
        Probability in [0, 1) that training drops a hidden unit; 0 by default.
    validation_fraction : float, default=0.1
        Share of the rows that are held out to decide when one network stops (dev rows). Another
        share than the default trains one network; so does ``ensemble=1``, with any share.
    time : str, optional
        A column of dates or numbers that orders the rows: the last ones are the dev rows. By
        default dev rows are drawn.
    random_state : int, RandomState or None, default=0
        Seed of the split and of the network: an int is the ``--seed`` of ``deltarule train``.
    categories, numbers, dates : list of str, optional
        Columns that are of this kind whatever they look like; patterns such as ``"code_*"`` too.
    ignore : list of str, optional
        Columns to leave out; patterns too.
    missing : list of str or number, optional
        Further marks for a missing cell, such as ``-999``.
    decimal, thousands : str, optional
        Marks in numbers that are texts, where the table does not tell.
    day_first : bool, optional
        What 04/06/2022 is, where no other date of the table tells.
    no_dates : bool, default=False
        Leave columns of dates out.
    unseen : {"other", "error"}, default="other"
        What to do with a category that training did not see.
    checkpoint : str, path-like, Checkpoint or None, default=None
        A folder for checkpoints, as in ``MLPClassifier``; not part of a file.
    verbose : bool, default=False
        Print a line for every epoch; in a terminal and a notebook, draw one bar instead, with the
        latest loss and score and the time left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, of the type that y had.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Columns of X in ``fit``, and their names if X had any.
    understanding_ : Understanding
        What each column was taken for; after ``fit``, not part of a file.
    notes_ : list of str
        What was odd about the table; likewise.
    model_ : TableModel
        The networks with the preprocessing of the table: what a file holds.
    oof_score_ : float
        Accuracy of an ensemble's networks on the rows that each of them left out; in
        ``model_.out_of_fold`` are all such scores, after ``fit``.
    n_iter_ : int
        Epochs of the fit; of an ensemble, the most of any network.
    loss_curve_, validation_loss_curve_, validation_scores_ : list of float
        Of one network: training loss, dev loss and dev score, epoch by epoch.
    best_validation_score_ : float
        The highest dev score, from whose epoch the parameters are.

    Notes
    -----
    ``deltarule train`` is this estimator: the same rows, options and seed give the same model, bit
    by bit, whatever holds the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from deltarule import TabularClassifier
    >>> from deltarule.datasets import penguins_path
    >>> penguins = pd.read_csv(penguins_path())
    >>> model = TabularClassifier((16,), learning_rate_init=0.01, n_iter_no_change=10)
    >>> model = model.fit(penguins.drop(columns="species"), penguins["species"])
    >>> model.predict(penguins.head(2))
    array(['Adelie', 'Adelie'], dtype=object)
    >>> print(model.understanding_.columns["island"].in_words)
    category (3)
    """

    _task: ClassVar[Task] = "classification"

    def _target(self, y: Any) -> HeldTarget:
        target = read_target(y, type(self).__name__)
        values = target.values
        if values.dtype.kind == "f" and (values != np.round(values)).any():
            raise TableError(
                "Unknown label type: continuous. y holds numbers with fractions, which are no "
                "classes; use TabularRegressor, or give y as texts"
            )
        return target

    def _classes(self, values: NDArray[Any]) -> NDArray[Any] | None:
        if values.dtype == object:  # texts
            return np.array(sorted(set(values.tolist())), dtype=object)
        return np.unique(values)

    def restore(self, model: TableModel) -> None:
        """Become a classifier with this fitted model."""
        target = model.target
        assert isinstance(target, Classes)
        classes = classes_of(model.interface, target)
        self._order = label_places(classes, target)
        super().restore(model)
        self.classes_ = classes

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of every row.

        Parameters
        ----------
        X : table or array, as in ``fit``
            Columns are found by name, in any order; others than those of the model are ignored.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels of the type that y had in ``fit``.

        Raises
        ------
        TableError
            If a column is missing, or does not hold what it held in training.
        """
        self._check_fitted()
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of every class, in the order of ``classes_``.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """
        self._check_fitted()
        with speaking_python():
            P = self.model_.respond(self._inputs(X)).probabilities
        assert P is not None
        return np.asarray(P[:, self._order])

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of ``predict_proba``.

        Those of one network come from its logits, so that tiny ones keep their digits.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Natural logarithms.
        """
        self._check_fitted()
        inputs = self._inputs(X)
        if len(inputs) == 0:
            return np.empty((0, len(self.classes_)))
        with speaking_python():
            self.model_.respond(inputs)  # refuses inputs beyond all bounds
        model = self.model_
        log_proba = (
            model.trained if len(model.networks) > 1 else model.estimator
        ).predict_log_proba
        return np.asarray(log_proba(inputs)[:, self._order])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows.
        y : array-like of shape (n_samples,)
            Their classes.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float
            The share of right predictions.
        """
        y = self._true(y)
        if _holds_texts(y) != _holds_texts(self.classes_):
            raise TableError(
                f"y has {listing(dict.fromkeys(y.tolist()), 3)}, which cannot be compared with the "
                f"classes {listing(self.classes_.tolist(), 3)}; give y in the type of fit"
            )
        weight = check_weight(sample_weight, len(y))
        return float(accuracy_score(y, self.predict(X), sample_weight=weight))

    def _codes(self, y: Any) -> NDArray[Any]:
        values = self._true(y).tolist()
        places = dict(zip(self.classes_.tolist(), self._order.tolist(), strict=True))
        unknown = [value for value in dict.fromkeys(values) if value not in places]
        if unknown:
            raise TableError(
                f"y has {listing(unknown)}, which the model does not know; its classes are "
                f"{listing(self.classes_.tolist())}"
            )
        return np.array([places[value] for value in values], dtype=np.intp)

    def _true(self, y: Any) -> NDArray[Any]:
        with speaking_python():
            return read_target(y, type(self).__name__).values


def _holds_texts(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "UT" or any(isinstance(value, str) for value in values.tolist())
