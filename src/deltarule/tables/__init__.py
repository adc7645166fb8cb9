"""Tables: from a file of rows to a fitted model, and back to a file of predictions."""

from __future__ import annotations

from deltarule.tables.evaluation import Evaluation, Predictions
from deltarule.tables.model import TableModel, check_test
from deltarule.tables.plan import Plan
from deltarule.tables.predictions_csv import PredictionsCsv
from deltarule.tables.prepare import Prepared, prepare
from deltarule.tables.settings import Settings
from deltarule.tables.sources.dataset import is_large, open_source, read_table
from deltarule.tables.split import Shares
from deltarule.tables.table import Source, Table
from deltarule.tables.tabular import TabularClassifier, TabularRegressor
from deltarule.tables.train import fit, score_parts
from deltarule.tables.understand import understand
from deltarule.tables.understanding import ReadOptions, Understanding, Understood

__all__ = [
    "Evaluation",
    "Plan",
    "Predictions",
    "PredictionsCsv",
    "Prepared",
    "ReadOptions",
    "Settings",
    "Shares",
    "Source",
    "Table",
    "TableModel",
    "TabularClassifier",
    "TabularRegressor",
    "Understanding",
    "Understood",
    "check_test",
    "fit",
    "is_large",
    "open_source",
    "prepare",
    "read_table",
    "score_parts",
    "understand",
]
