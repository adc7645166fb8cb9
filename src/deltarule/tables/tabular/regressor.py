"""Numbers of tables as they come"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from deltarule.errors import TableError
from deltarule.metrics._inputs import check_weight
from deltarule.tables.record import Task
from deltarule.tables.sources.held import held_column
from deltarule.tables.sources.targets import HeldTarget, read_target
from deltarule.tables.tabular.base import BaseTabular
from deltarule.tables.tabular.python_words import speaking_python
from deltarule.utils.checks import shown

__all__ = ["TabularRegressor"]


class TabularRegressor(RegressorMixin, BaseTabular):
    """A network that learns a number from a table as it comes.

    Columns of numbers, categories, booleans and dates, with missing values, of pandas, Polars or
    Arrow, or an array; what each column holds is decided by all of its cells, as by
    ``deltarule train``, and so is everything else. ``MLPRegressor`` is the drop-in for
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
    target_transform : {"auto", "none", "sqrt", "log"}, default="auto"
        What is learned of the target y: y, √y or log(y + c), with c = 1 if there are zeros, else 0.
        "auto" is, for an ensemble, what makes a skewed target even, if anything does, and y for one
        network. Predictions are of y; an ensemble's, and those of √ and log, stay in the range of
        the training rows.
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
        What stops training, on rows that it does not learn from: the loss, or the R².
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
    n_features_in_, feature_names_in_ : int, ndarray of str
        Columns of X in ``fit``, and their names if X had any.
    understanding_ : Understanding
        What each column was taken for; after ``fit``, not part of a file.
    notes_ : list of str
        What was odd about the table; likewise.
    model_ : TableModel
        The networks with the preprocessing of the table: what a file holds.
    oof_score_ : float
        R² of an ensemble's networks on the rows that each of them left out; in
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
    >>> from deltarule import TabularRegressor
    >>> from deltarule.datasets import penguins_path
    >>> penguins = pd.read_csv(penguins_path()).dropna(subset="body_mass_g")
    >>> model = TabularRegressor((16,), learning_rate_init=0.01, n_iter_no_change=10)
    >>> model = model.fit(penguins.drop(columns="body_mass_g"), penguins["body_mass_g"])
    >>> model.score(penguins, penguins["body_mass_g"]) > 0.8
    True
    """

    _task: ClassVar[Task] = "regression"

    def _target(self, y: Any) -> HeldTarget:
        target = read_target(y, type(self).__name__)
        if target.column.holds == "boolean":
            numbers = target.values.astype(np.float64)
            return target._replace(column=held_column(numbers), values=numbers)
        return target

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the number of every row, in the unit of the target.

        Parameters
        ----------
        X : table or array, as in ``fit``
            Columns are found by name, in any order; others than those of the model are ignored.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Numbers.

        Raises
        ------
        TableError
            If a column is missing, or does not hold what it held in training.
        """
        self._check_fitted()
        with speaking_python():
            return self.model_.respond(self._inputs(X)).values

    def _codes(self, y: Any) -> NDArray[Any]:
        with speaking_python():
            values = self._target(y).values
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise TableError(f"y must hold numbers, as in fit; got {shown(values)}") from None

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the predictions.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows.
        y : array-like of shape (n_samples,)
            Their numbers.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float
            1 - the squared error / that of the mean.
        """
        y = self._codes(y)
        weight, predicted = check_weight(sample_weight, len(y)), self.predict(X)
        # Only the ratios of y and predictions count: by a power of two, their squares are finite.
        power = -int(np.frexp(max(np.abs(y).max(), np.abs(predicted).max()))[1])
        y, predicted = np.ldexp(y, power), np.ldexp(predicted, power)
        return float(r2_score(y, predicted, sample_weight=weight))
