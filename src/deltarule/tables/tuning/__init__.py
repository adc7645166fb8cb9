"""A search for the arguments of a tabular estimator: Optuna proposes, the dev rows decide"""

from deltarule.tables.tuning.search import Budget, Found, search
from deltarule.tables.tuning.space import Space, default_space
from deltarule.tables.tuning.study import Study, Tried

__all__ = ["Budget", "Found", "Space", "Study", "Tried", "default_space", "search"]
