"""Terms and scores explained: facts from code, words from a model where there is one, and never a figure of its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .facts import Facts, score_facts, term_facts
from .gateway import Gateway, LLMStream
from .grounding import ungrounded
from .types import LlmError, LLMRequest, LLMResponse, Message

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
# Who is told sentence by sentence waits for the next one, not for all.
_STREAM_SECONDS = 30.0
# Where a sentence has certainly ended: what follows it has begun.
_SENTENCE = re.compile(r"[.!?][\"”’)]*\s")

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


@dataclass(frozen=True, slots=True)
class Answered:
    """What a job asked for an explanation, as its result has it."""

    text: str
    model: str
    route_id: str
    usage_id: str


def explain_term(term: str, gateway: Gateway | None = None, asker: Asker | None = None) -> Explanation:
    """Explain a term of the catalogue or of a report. Raises `UnknownTermError`, before any model is asked.

    With `gateway` None, without a key, or where a model fails, it is the same facts in a plain sentence.
    """
    return _told(term_facts(term), gateway, asker or Asker())


def explain_score(stored: Mapping[str, Any], gateway: Gateway | None = None, asker: Asker | None = None) -> Explanation:
    """Explain a stored score: a row of `score_samples`, or the document of one point of a run (`explain_run`)."""
    return _told(score_facts(stored), gateway, asker or Asker())


def stream_term(term: str, gateway: Gateway | None = None, asker: Asker | None = None) -> ExplanationStream:
    """Explain a term sentence by sentence. Raises `UnknownTermError`, before any model is asked."""
    return ExplanationStream(term_facts(term), gateway, asker or Asker())


def stream_score(
    stored: Mapping[str, Any], gateway: Gateway | None = None, asker: Asker | None = None
) -> ExplanationStream:
    """Explain a stored score, as `explain_score` takes it, sentence by sentence."""
    return ExplanationStream(score_facts(stored), gateway, asker or Asker())


class ExplanationStream:
    """Sentences of a model as they come, each held against the facts before it is given; then `explanation`.

    Between them None, whenever the model has said something and no sentence is whole yet: there one may leave.

    A sentence with a figure of its own ends the asking, and so does a model that fails: `explanation` is the template
    then, to be shown instead of what came. Iterate it once; close it where it is left early, and what was not said is
    not paid for.
    """

    def __init__(self, facts: Facts, gateway: Gateway | None, asker: Asker) -> None:
        self.facts = facts
        self.explanation: Explanation | None = None
        self._sentences = self._spoken(gateway, asker)

    def __iter__(self) -> Iterator[str | None]:
        return self._sentences

    def close(self) -> None:
        """End the asking."""
        self._sentences.close()

    def _spoken(self, gateway: Gateway | None, asker: Asker) -> Generator[str | None, None, None]:
        if gateway is None:
            self.explanation = _without(self.facts)
            return
        try:
            with gateway.stream(request_of(self.facts, asker, _STREAM_SECONDS)) as stream:
                said = ""
                for sentence in _whole_sentences(stream):
                    if sentence is None:
                        yield None
                        continue
                    if ungrounded(said + sentence, self.facts.text):
                        self.explanation = _made_up(self.facts, said + sentence, stream)
                        return
                    said += sentence
                    yield sentence
        except LlmError as error:
            self.explanation = Explanation(self.facts, self.facts.sentence, "template", None, error.code, str(error))
            return
        answered = stream.response
        assert answered is not None
        if answered.declined:
            self.explanation = Explanation(
                self.facts, self.facts.sentence, "template", answered.model, "failed", f"{answered.route_id}: declined"
            )
            return
        self.explanation = Explanation(self.facts, said.strip(), "model", answered.model)


def _whole_sentences(pieces: Iterable[str]) -> Iterator[str | None]:
    """Return the sentences of a text that comes in pieces, the last as it is, and None after each piece."""
    waiting = ""
    for piece in pieces:
        waiting += piece
        while (end := _SENTENCE.search(waiting)) is not None:
            yield waiting[: end.end()]
            waiting = waiting[end.end() :]
        yield None
    if waiting:
        yield waiting


def request_of(facts: Facts, asker: Asker, seconds: float | None = None) -> LLMRequest:
    """Return what a model is asked about `facts`: the same every time, so that equal questions are known as such."""
    return LLMRequest(
        USE_CASE,
        _SYSTEM,
        (Message("user", facts.text),),
        _MOST_TOKENS,
        user_id=asker.user_id,
        tier=asker.tier,
        deadline_seconds=seconds,
    )


def _without(facts: Facts) -> Explanation:
    return Explanation(facts, facts.sentence, "template", None, "off", "no gateway")


def _made_up(facts: Facts, text: str, answer: LLMResponse | LLMStream | Answered) -> Explanation:
    """The template, and a line in the log: how many figures, not which, for an answer may repeat what was asked."""
    found = ungrounded(text, facts.text)
    detail = f"{answer.route_id}: {len(found)} figures of the answer are not in the facts"
    log.warning("explanation by %s refused (usage %s)", detail, answer.usage_id)
    return Explanation(facts, facts.sentence, "template", answer.model, "figures", detail)


def _told(facts: Facts, gateway: Gateway | None, asker: Asker) -> Explanation:
    if gateway is None:
        return _without(facts)
    try:
        answer = gateway.complete(request_of(facts, asker, _DEADLINE_SECONDS))
    except LlmError as error:
        return Explanation(facts, facts.sentence, "template", None, error.code, str(error))
    return held(facts, answer)


def held(facts: Facts, answer: LLMResponse | Answered) -> Explanation:
    """Return what a model answered, or the template where it has a figure of its own."""
    if ungrounded(answer.text, facts.text):
        return _made_up(facts, answer.text, answer)
    return Explanation(facts, answer.text.strip(), "model", answer.model)
