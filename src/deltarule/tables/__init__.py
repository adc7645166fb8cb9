"""Tables: from a file of rows to a fitted model, and back to a file of predictions."""

from __future__ import annotations

from deltarule.tables.evaluation import Evaluation, Predictions
from deltarule.tables.model import TableModel, check_test
from deltarule.tables.predictions_csv import PredictionsCsv
from deltarule.tables.prepare import Plan, Prepared, prepare
from deltarule.tables.record import CsvFormat
from deltarule.tables.sources.csv_head import csv_format
from deltarule.tables.sources.dataset import is_large, open_source, read_table
from deltarule.tables.split import Shares
from deltarule.tables.table import Source, Table
from deltarule.tables.train import Settings, fit, score_parts
from deltarule.tables.understand import understand
from deltarule.tables.understanding import ReadOptions, Understanding, Understood

__all__ = [
    "CsvFormat",
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
    "Understanding",
    "Understood",
    "check_test",
    "csv_format",
    "fit",
    "is_large",
    "open_source",
    "prepare",
    "read_table",
    "score_parts",
    "understand",
]
