"""Backtests: what may be concluded from a frozen snapshot, and by which rules (backtests.md)."""

from .evaluation import Evaluation, EvaluationProtocol, EvaluationProtocolError, evaluate

__all__ = ["Evaluation", "EvaluationProtocol", "EvaluationProtocolError", "evaluate"]
