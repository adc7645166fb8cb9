"""Tables: from a file of rows to a fitted model and back to a file of predictions."""

from __future__ import annotations

from deltarule.tables.evaluation import Evaluation
from deltarule.tables.model import Predictions, TableModel
from deltarule.tables.output import predictions_csv
from deltarule.tables.reader import read_table
from deltarule.tables.splits import Shares
from deltarule.tables.streaming.memory import is_large
from deltarule.tables.streaming.predicting import (
    StreamedPredictions,
    check_test,
    evaluate_stream,
    write_pieces,
)
from deltarule.tables.streaming.source import Source, open_source
from deltarule.tables.streaming.training import (
    PreparedStream,
    evaluate_parts,
    fit_stream,
    prepare_stream,
)
from deltarule.tables.table import Table
from deltarule.tables.training import Plan, Prepared, Settings, fit, prepare, score_parts

__all__ = [
    "Evaluation",
    "Plan",
    "Predictions",
    "Prepared",
    "PreparedStream",
    "Settings",
    "Shares",
    "Source",
    "StreamedPredictions",
    "Table",
    "TableModel",
    "check_test",
    "evaluate_parts",
    "evaluate_stream",
    "fit",
    "fit_stream",
    "is_large",
    "open_source",
    "predictions_csv",
    "prepare",
    "prepare_stream",
    "read_table",
    "score_parts",
    "write_pieces",
]
