"""What is asked of the gateway, what comes back, the routes it may take, and the errors it raises. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from signaldelta_assets.errors import DocumentError, SignalDeltaError

Protocol = Literal["openai", "anthropic"]
PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic")
# Why an answer ended where the model, or its vendor, will not give one.
DECLINES = frozenset({"refusal", "content_filter"})
_MILLION = Decimal(1_000_000)
# What a chat template puts around a message, generously.
_TOKENS_AROUND = 32


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. Its text is in no repr: prompts are not logged."""

    role: Literal["user", "assistant"]
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What goes over the wire to one model. `temperature` is sent by the OpenAI protocol alone.

    Anthropic's API takes none since its version of 2026-10-21.
    """

    model: str
    system: str = field(repr=False)
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the text as it is, the model that says it answered, why it stopped, and the tokens counted."""

    text: str
    model: str
    stop_reason: str | None
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """A question by use-case; which model answers it is a matter of the tables.

    `user_id` and `tier`: who is asking; with a tier the call is held against `llm_dollars_per_day` of it, per user and
    UTC day; calls without a user share one budget per tier. Without a tier (a worker, an operator) there is none.
    `deadline_seconds`: for all attempts at all routes together.
    """

    use_case: str
    system: str = field(repr=False)
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = 0.0
    user_id: str | None = None
    tier: str | None = None
    deadline_seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role != "user":
            raise DocumentError("messages", "at least one, the last by the user", len(self.messages))
        if self.max_tokens < 1:
            raise DocumentError("max_tokens", "at least 1", self.max_tokens)

    def question(self, model: str) -> Question:
        """Return what is sent to `model`."""
        return Question(model, self.system, self.messages, self.max_tokens, self.temperature)

    @property
    def most_input_tokens(self) -> int:
        """No tokenizer makes more tokens of a text than it has bytes."""
        texts = (self.system, *(message.text for message in self.messages))
        return sum(len(text.encode()) + _TOKENS_AROUND for text in texts)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of `llm_model_routing`: a model and where it is served. Prices are US dollars per million tokens.

    `key_setting` names what holds the key, never the key; None for a server that asks for none.
    """

    route_id: str
    protocol: Protocol
    base_url: str | None
    model: str
    weight_class: str
    locations: tuple[str, ...]
    key_setting: str | None
    timeout_seconds: float
    attempts: int
    input_price: Decimal | None
    output_price: Decimal | None
    enabled: bool = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Route:
        """Return the route of a row of the table."""
        names = ("route_id", "protocol", "base_url", "model", "weight_class", "key_setting", "timeout_seconds",
                 "attempts", "input_price", "output_price", "enabled")  # fmt: skip
        return cls(locations=tuple(row["locations"]), **{name: row[name] for name in names})

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return what so many tokens cost in US dollars, None where the route has no prices."""
        if self.input_price is None or self.output_price is None:
            return None
        return (self.input_price * input_tokens + self.output_price * output_tokens) / _MILLION


@dataclass(frozen=True, slots=True)
class Skipped:
    """A route of the chain that was not asked, and why."""

    route_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.route_id}: {self.why}"


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """The answer, by which route, and what it took. `failed`: the calls before it that gave none.

    `cost` in US dollars, None where the route has no prices; `usage_id` names the row of `llm_usage_log`.
    """

    text: str = field(repr=False)
    route_id: str
    model: str
    stop_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    latency_ms: float
    usage_id: str
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def declined(self) -> bool:
        """Whether a stream ended because the model will not answer; of a whole answer that is an error."""
        return self.stop_reason in DECLINES


class LlmError(SignalDeltaError):
    """Root of what the gateway raises. Names routes, models, statuses; never a key, a prompt or a vendor's words."""

    code = "failed"


class NoRouteError(LlmError):
    """No route of the use-case's chain can be asked here: switched off, elsewhere, without key. Nothing was sent."""

    code = "no_route"

    def __init__(self, use_case: str, skipped: tuple[Skipped, ...], why: str = "no route can be asked") -> None:
        self.use_case, self.skipped = use_case, skipped
        tail = "".join(f"; {one}" for one in skipped)
        super().__init__(f"use-case {use_case!r}: {why}{tail}")


class BecomesJobError(LlmError):
    """A heavy use-case asked at AWS: its models are offsite, so it has to become a job there. Nothing was sent."""

    code = "becomes_job"

    def __init__(self, use_case: str, route: Route) -> None:
        self.use_case, self.route = use_case, route
        super().__init__(
            f"use-case {use_case!r}: its model ({route.route_id}) is heavy and offsite; submit it as a job"
        )


class BudgetExceededError(LlmError):
    """A call that could cost more than is left of the tier's dollars for today (UTC). Nothing was sent."""

    code = "budget"

    def __init__(self, tier: str, limit: Decimal, spent: Decimal, most: Decimal) -> None:
        self.tier, self.limit, self.spent, self.most = tier, limit, spent, most
        super().__init__(
            f"tier {tier!r} has {limit.normalize():f} US dollars a day: {spent.normalize():f} are spent or set aside, "
            f"and this call may cost {most.normalize():f}; the next day begins at 00:00 UTC"
        )


class RoutesFailedError(LlmError):
    """Every call failed, or one failed in a way that no other route would mend. `outcomes` as in the log."""

    def __init__(
        self, use_case: str, failures: tuple[str, ...], outcomes: tuple[str, ...], skipped: tuple[Skipped, ...]
    ) -> None:
        self.use_case, self.failures, self.outcomes, self.skipped = use_case, failures, outcomes, skipped
        tail = "".join(f"; {one}" for one in skipped)
        super().__init__(f"use-case {use_case!r}: {'; '.join(failures)}{tail}")
