"""A network: its specification with what reads data, draws parameters, predicts and scores."""

from deltarule.network.network import Network, mean_loss, score_outputs

__all__ = ["Network", "mean_loss", "score_outputs"]
