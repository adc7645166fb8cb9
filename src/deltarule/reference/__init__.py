"""The mathematics, written to be read beside its equations, on any array API array.

It is the oracle that the compiled engine is tested against. Read it in this order: ``maps`` (what a
map is), ``affine``, ``activations``, ``losses`` (the maps), ``penalties``, ``optimizers``, and
``interpret`` (the chain rule over a tape).
"""

from deltarule.reference.interpreter import Reference
from deltarule.reference.registry import MAPS

__all__ = ["MAPS", "Reference"]
