"""Classify a text once: look the request up, else ask, store the answer, and read back what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import llm as store

from ..types import Answer
from .request import Request, output_document

Classifier = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Classified:
    """A stored answer. `label` is None where the model said none of the labels; `asked` says whether it cost a call."""

    request_hash: str
    output_hash: str
    label: str | None
    asked: bool


def classify(warehouse: Warehouse, answer: Classifier, request: Request) -> Classified:
    """Return the one stored answer to `request`, asking for it where there is none yet.

    An answer that is none of the labels is stored too: asking again until one pleases would be choosing. Where two
    processes ask at once, the answer that was written first is the one that both get.
    """
    known = store.get_output(warehouse, request.hash)
    if known is not None:
        return Classified(request.hash, known.output_hash, known.document["label"], asked=False)
    store.put_output(warehouse, request.document, output_document(request, answer(request)))
    stored = store.get_output(warehouse, request.hash)
    assert stored is not None, f"{request.hash}: written and not there"
    return Classified(request.hash, stored.output_hash, stored.document["label"], asked=True)
