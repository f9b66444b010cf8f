"""From the settings to what answers a request: one route through the gateway, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import Warehouse

from ..gateway import Gateway
from ..types import Answer, LLMRequest, Message, Route
from .classify import Classifier
from .request import Request

USE_CASE = "signal_classify"
_KEY = "SIGNALDELTA_LLM_API_KEY"


@contextmanager
def open_classifier(settings: Settings, warehouse: Warehouse) -> Iterator[tuple[Classifier, str, str]]:
    """Open the model that the settings name; yield (what answers a request, protocol, model).

    Calls are logged in `warehouse`, without a price: the settings name none. Raises `DocumentError` where
    classification is off, or a setting it needs is missing; what answers raises `LlmError`.
    """
    if settings.llm_protocol is None:
        raise DocumentError("SIGNALDELTA_LLM_PROTOCOL", "openai or anthropic: classification by a model is off", None)
    if settings.llm_model is None:
        raise DocumentError("SIGNALDELTA_LLM_MODEL", "the name of a model", None)
    if settings.llm_api_key is None:
        raise DocumentError(_KEY, "an API key", None)
    key: SecretStr = settings.llm_api_key
    route = Route(
        route_id="settings",
        protocol=settings.llm_protocol,
        base_url=settings.llm_url,
        model=settings.llm_model,
        weight_class="light",
        locations=("aws", "offsite"),
        key_setting=_KEY,
        timeout_seconds=settings.http_timeout_seconds,
        attempts=settings.http_attempts,
        input_price=None,
        output_price=None,
    )
    with Gateway(warehouse, lambda _: key, settings.home_dir / "llm-usage") as gateway:

        def answer(request: Request) -> Answer:
            made = gateway.along(
                LLMRequest(
                    USE_CASE,
                    request.document["system"],
                    (Message("user", request.document["text"]),),
                    request.parameters["max_tokens"],
                    request.parameters.get("temperature"),
                ),
                [route],
                [],
            )
            return Answer(made.text, made.model, made.stop_reason, made.input_tokens, made.output_tokens)

        yield answer, route.protocol, route.model
