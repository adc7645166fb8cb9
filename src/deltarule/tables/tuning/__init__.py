"""A search for the recipes of a table's networks: Optuna proposes, rows held out decide"""

from deltarule.tables.tuning.search import Budget, Deadline, Watcher, search
from deltarule.tables.tuning.space import Space, default_space
from deltarule.tables.tuning.study import Study, Tried, open_study

__all__ = [
    "Budget", "Deadline", "Space", "Study", "Tried", "Watcher", "default_space", "open_study",
    "search",
]  # fmt: skip
