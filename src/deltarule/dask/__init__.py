"""Fits on a Dask cluster, with the same bits on any number of workers. Needs the extra "dask"."""

from deltarule.utils.context import needing

with needing("dask", "deltarule.dask needs Dask and distributed"):
    import distributed

    import dask

from deltarule.dask.estimators import DaskMLPClassifier, DaskMLPRegressor

__all__ = ["DaskMLPClassifier", "DaskMLPRegressor"]

del dask, distributed
