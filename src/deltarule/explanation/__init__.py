"""Explanations: networks and expressions computed in full view, with symbols and numbers."""

from deltarule.explanation.computational_graph import ComputationalGraph, graph
from deltarule.explanation.explain import Explanation, check_ending, explain

__all__ = ["ComputationalGraph", "Explanation", "check_ending", "explain", "graph"]
