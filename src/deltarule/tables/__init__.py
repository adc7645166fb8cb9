"""Tables: from a file of rows to a fitted model, and back to a file of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltarule.utils.lazy_names import importer

if TYPE_CHECKING:
    from deltarule.tables.description import (
        ColumnValues,
        DataValues,
        Description,
        collect_values,
        describe,
    )
    from deltarule.tables.evaluation import Evaluation, Predictions
    from deltarule.tables.model import TableModel, check_test
    from deltarule.tables.plan import Plan
    from deltarule.tables.predictions_csv import PredictionsCsv
    from deltarule.tables.preparation import Prepared, prepare
    from deltarule.tables.record import CsvFormat
    from deltarule.tables.settings import Settings
    from deltarule.tables.sources.csv_head import csv_format
    from deltarule.tables.sources.dataset import is_large, open_source, read_table
    from deltarule.tables.split import Shares
    from deltarule.tables.table import Source, Table
    from deltarule.tables.tabular import TabularClassifier, TabularRegressor
    from deltarule.tables.train import fit, score_parts
    from deltarule.tables.tuning.space import default_space
    from deltarule.tables.understand_columns import understand
    from deltarule.tables.understanding import ReadOptions, Understanding, Understood

__all__ = [
    "ColumnValues",
    "CsvFormat",
    "DataValues",
    "Description",
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
    "collect_values",
    "csv_format",
    "default_space",
    "describe",
    "fit",
    "is_large",
    "open_source",
    "prepare",
    "read_table",
    "score_parts",
    "understand",
]

# A prediction needs a few of them.
__getattr__ = importer(
    __name__,
    {
        "description": [
            "ColumnValues",
            "DataValues",
            "Description",
            "collect_values",
            "describe",
        ],
        "evaluation": ["Evaluation", "Predictions"],
        "model": ["TableModel", "check_test"],
        "plan": ["Plan"],
        "predictions_csv": ["PredictionsCsv"],
        "preparation": ["Prepared", "prepare"],
        "record": ["CsvFormat"],
        "sources.csv_head": ["csv_format"],
        "sources.dataset": ["is_large", "open_source", "read_table"],
        "settings": ["Settings"],
        "split": ["Shares"],
        "table": ["Source", "Table"],
        "understand_columns": ["understand"],
        "understanding": ["ReadOptions", "Understanding", "Understood"],
        "tabular": ["TabularClassifier", "TabularRegressor"],
        "train": ["fit", "score_parts"],
        "tuning.space": ["default_space"],
    },
)
