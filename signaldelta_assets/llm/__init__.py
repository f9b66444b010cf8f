"""The gateway to language models: LLMRequest in, LLMResponse out, by routes that are rows of tables.

Here live the two clients, the gateway with its budgets and its log, and what is explained by it; `classification`, a
room within with a face of its own, is the one thing whose answers are kept to be read again. Never here: anything that
decides a signal, a label, a score or a run. Those rooms may not import this one, nor the vendors' clients.
"""

from .explain import (
    Answered,
    Asker,
    Explanation,
    ExplanationStream,
    explain_score,
    explain_term,
    held,
    request_of,
    stream_score,
    stream_term,
)
from .facts import Fact, Facts, UnknownTermError, known_terms
from .gateway import FAILURES, Gateway, LLMStream, open_gateway
from .types import (
    Answer,
    BecomesJobError,
    BudgetExceededError,
    LlmError,
    LLMRequest,
    LLMResponse,
    Message,
    NoRouteError,
    Route,
    RoutesFailedError,
    Skipped,
)

__all__ = [
    "FAILURES",
    "Answer",
    "Answered",
    "Asker",
    "BecomesJobError",
    "BudgetExceededError",
    "Explanation",
    "ExplanationStream",
    "Fact",
    "Facts",
    "Gateway",
    "LLMRequest",
    "LLMResponse",
    "LLMStream",
    "LlmError",
    "Message",
    "NoRouteError",
    "Route",
    "RoutesFailedError",
    "Skipped",
    "UnknownTermError",
    "explain_score",
    "explain_term",
    "held",
    "known_terms",
    "open_gateway",
    "request_of",
    "stream_score",
    "stream_term",
]
