"""The two protocols in use: OpenAI's chat completions, which most servers speak, and Anthropic's messages.

The vendors' own clients do timeouts and retries; here an error is named without the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from signaldelta_assets.errors import DocumentError, SignalDeltaError
from signaldelta_assets.settings import Settings

from .classify import Classifier
from .request import Answer, Request


class LlmError(SignalDeltaError):
    """A model that gave no answer after every attempt. Names the protocol, the model and the reason."""

    def __init__(self, request: Request, reason: object) -> None:
        super().__init__(f"{request.protocol} {request.model}: {reason}")


@contextmanager
def open_classifier(settings: Settings) -> Iterator[tuple[Classifier, str, str]]:
    """Open the client that the settings name; yield (what answers a request, protocol, model).

    Raises `DocumentError` where classification is off, or a setting it needs is missing.
    """
    if settings.llm_protocol is None:
        raise DocumentError("SIGNALDELTA_LLM_PROTOCOL", "openai or anthropic: classification by a model is off", None)
    if settings.llm_model is None:
        raise DocumentError("SIGNALDELTA_LLM_MODEL", "the name of a model", None)
    if settings.llm_api_key is None:
        raise DocumentError("SIGNALDELTA_LLM_API_KEY", "an API key", None)
    opened = _openai(settings) if settings.llm_protocol == "openai" else _anthropic(settings)
    with opened as answer:
        yield answer, settings.llm_protocol, settings.llm_model


@contextmanager
def _openai(settings: Settings) -> Iterator[Classifier]:
    import openai

    assert settings.llm_api_key is not None
    with openai.OpenAI(
        api_key=settings.llm_api_key.get_secret_value(),
        base_url=settings.llm_url or "https://api.openai.com/v1",
        timeout=settings.http_timeout_seconds,
        max_retries=settings.http_attempts - 1,
    ) as client:

        def answer(request: Request) -> Answer:
            try:
                made = client.chat.completions.create(
                    model=request.model,
                    messages=[
                        {"role": "system", "content": request.document["system"]},
                        {"role": "user", "content": request.document["text"]},
                    ],
                    temperature=request.parameters["temperature"],
                    max_tokens=request.parameters["max_tokens"],
                )
            except openai.OpenAIError as error:
                raise LlmError(request, _reason(error)) from error
            if not made.choices or made.choices[0].message.content is None:
                raise LlmError(request, "an answer without text")
            usage = made.usage
            return Answer(
                made.choices[0].message.content,
                made.model,
                made.choices[0].finish_reason,
                usage.prompt_tokens if usage else None,
                usage.completion_tokens if usage else None,
            )

        yield answer


@contextmanager
def _anthropic(settings: Settings) -> Iterator[Classifier]:
    import anthropic

    assert settings.llm_api_key is not None
    with anthropic.Anthropic(
        api_key=settings.llm_api_key.get_secret_value(),
        base_url=settings.llm_url or "https://api.anthropic.com",
        timeout=settings.http_timeout_seconds,
        max_retries=settings.http_attempts - 1,
    ) as client:

        def answer(request: Request) -> Answer:
            try:
                made = client.messages.create(
                    model=request.model,
                    system=request.document["system"],
                    messages=[{"role": "user", "content": request.document["text"]}],
                    max_tokens=request.parameters["max_tokens"],
                )
            except anthropic.AnthropicError as error:
                raise LlmError(request, _reason(error)) from error
            texts = [block.text for block in made.content if block.type == "text"]
            if not texts:
                raise LlmError(request, "an answer without text")
            return Answer(
                "".join(texts), made.model, made.stop_reason, made.usage.input_tokens, made.usage.output_tokens
            )

        yield answer


def _reason(error: Exception) -> str:
    """Return status and kind of an error. Its message may repeat what was sent, headers included: that stays out."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ if status is None else f"{status} {type(error).__name__}"
