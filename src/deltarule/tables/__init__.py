"""Tables: from a file of rows to a fitted model and back to a file of predictions."""

from __future__ import annotations

from deltarule.tables.evaluation import Evaluation
from deltarule.tables.model import Predictions, TableModel
from deltarule.tables.output import predictions_csv
from deltarule.tables.reader import read_table
from deltarule.tables.splits import Shares
from deltarule.tables.table import Table
from deltarule.tables.training import Plan, Prepared, Settings, fit, prepare

__all__ = [
    "Evaluation",
    "Plan",
    "Predictions",
    "Prepared",
    "Settings",
    "Shares",
    "Table",
    "TableModel",
    "fit",
    "predictions_csv",
    "prepare",
    "read_table",
]
