"""What is asked of a model and what it answered, as documents with hashes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.versioning import hash_document

from ..types import PROTOCOLS, Answer


@dataclass(frozen=True)
class Task:
    """A classification: the instruction, the labels among which one is to be chosen, and how much text is sent.

    `version` is the hash of all of it: another word in the instruction is another task.
    """

    name: str
    instruction: str
    labels: tuple[str, ...]
    max_characters: int

    @cached_property
    def version(self) -> str:
        """The SHA-256 of the task's document."""
        return hash_document(
            {
                "schema": "signaldelta.llm_task/1",
                "name": self.name,
                "instruction": self.instruction,
                "labels": list(self.labels),
                "max_characters": self.max_characters,
            }
        )

    @property
    def system(self) -> str:
        """The system prompt."""
        return f"{self.instruction}\nAnswer with one of these words and nothing else: {', '.join(self.labels)}."

    def read(self, text: str) -> str | None:
        """Return the label that an answer gives, None where it is anything else: nothing is guessed from a sentence."""
        word = text.strip().strip(".\"'`").lower()
        return word if word in self.labels else None


@dataclass(frozen=True)
class Request:
    """One question to one model. `hash` names it: the same bytes asked again are the same request."""

    task: Task
    protocol: str
    model: str
    text: str
    max_tokens: int = 16

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise DocumentError("protocol", " or ".join(PROTOCOLS), self.protocol)

    @property
    def parameters(self) -> dict[str, int]:
        """The sampling parameters: room for one word, and the likeliest one where that can be asked for.

        Anthropic's API takes no temperature since its version of 2026-10-21.
        """
        return {"max_tokens": self.max_tokens} | ({"temperature": 0} if self.protocol == "openai" else {})

    @cached_property
    def document(self) -> dict[str, Any]:
        """All that decides the answer, as far as the asker can."""
        return {
            "schema": "signaldelta.llm_request/1",
            "task": self.task.name,
            "task_version": self.task.version,
            "protocol": self.protocol,
            "model": self.model,
            "parameters": self.parameters,
            "system": self.task.system,
            "text": self.text[: self.task.max_characters],
        }

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the canonical request."""
        return hash_document(self.document)


def output_document(request: Request, answer: Answer) -> dict[str, Any]:
    """Return the artifact: the request by its hash, the answer word for word, and the label read from it, or null."""
    return {
        "schema": "signaldelta.llm_output/1",
        "request_hash": request.hash,
        "text": answer.text,
        "label": request.task.read(answer.text),
        "model": answer.model,
        "stop_reason": answer.stop_reason,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
    }
