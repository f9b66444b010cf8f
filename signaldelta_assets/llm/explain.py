"""Terms and scores explained: facts from code, words from a model where there is one, and never a figure of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .facts import Facts, score_facts, term_facts
from .gateway import Gateway
from .grounding import ungrounded
from .types import LlmError, LLMRequest, Message

USE_CASE = "explain"
_SYSTEM = (
    "You explain one term or one score of a research platform to a reader who is no specialist, in two to four plain "
    "sentences. You are given facts, one per line. Use nothing but these facts. Copy every figure, date and identifier "
    "exactly as it is written there; calculate nothing, round nothing, and write no number that is not there, not in "
    "words either. Give no advice to buy or sell. Answer with the sentences alone, without headings or markup."
)
_MOST_TOKENS = 300
# A reader waits, and no handler of the API may block for more than 5 s: after this the plain sentence is shown.
_DEADLINE_SECONDS = 4.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and by whose budget; without a tier (an operator, a worker) there is none. See `LLMRequest`."""

    user_id: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation and the facts it was held against.

    `made_by`: a model, or the template where none could be asked or its answer had a figure that the facts do not have.
    `why_template` is then one of off, no_route, becomes_job, budget, failed, figures; `detail` says it for an operator.
    """

    facts: Facts
    text: str
    made_by: Literal["model", "template"]
    model: str | None = None
    why_template: str | None = None
    detail: str | None = None


def explain_term(term: str, gateway: Gateway | None = None, asker: Asker | None = None) -> Explanation:
    """Explain a term of the catalogue or of a report. Raises `UnknownTermError`, before any model is asked.

    With `gateway` None, without a key, or where a model fails, it is the same facts in a plain sentence.
    """
    return _told(term_facts(term), gateway, asker or Asker())


def explain_score(stored: Mapping[str, Any], gateway: Gateway | None = None, asker: Asker | None = None) -> Explanation:
    """Explain a stored score: a row of `score_samples`, or the document of one point of a run (`explain_run`)."""
    return _told(score_facts(stored), gateway, asker or Asker())


def _told(facts: Facts, gateway: Gateway | None, asker: Asker) -> Explanation:
    if gateway is None:
        return Explanation(facts, facts.sentence, "template", None, "off", "no gateway")
    request = LLMRequest(
        USE_CASE,
        _SYSTEM,
        (Message("user", facts.text),),
        _MOST_TOKENS,
        user_id=asker.user_id,
        tier=asker.tier,
        deadline_seconds=_DEADLINE_SECONDS,
    )
    try:
        answer = gateway.complete(request)
    except LlmError as error:
        return Explanation(facts, facts.sentence, "template", None, error.code, str(error))
    made_up = ungrounded(answer.text, facts.text)
    if made_up:
        # How many, not which: an answer may repeat a prompt, and prompts are not logged.
        detail = f"{answer.route_id}: {len(made_up)} figures of the answer are not in the facts"
        log.warning("explanation by %s refused (usage %s)", detail, answer.usage_id)
        return Explanation(facts, facts.sentence, "template", answer.model, "figures", detail)
    return Explanation(facts, answer.text.strip(), "model", answer.model)
