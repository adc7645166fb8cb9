"""The mathematics, readable beside its equations, on any array API array: the oracle.

Read in this order: ``maps`` (what a map is), ``affine``, ``activations``, ``losses`` (the maps),
``penalties``, ``optimizers``, and ``interpret`` (the chain rule over a tape).
"""

from deltarule.reference.interpret import Reference
from deltarule.reference.registry import MAPS

__all__ = ["MAPS", "Reference"]
