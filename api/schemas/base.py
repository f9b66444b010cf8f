"""What all responses share: field types with their examples, the envelope `{data, meta}`, and composed examples."""

from __future__ import annotations

import typing
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import to_jsonable_python

Sha256 = Annotated[str, Field(description="SHA-256, hexadecimal.", examples=["3f" * 32])]
Ulid = Annotated[str, Field(description="ULID.", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])]
Time = Annotated[datetime, Field(description="UTC.", examples=["2024-06-03T14:31:00Z"])]
Day = Annotated[date, Field(description="UTC day.", examples=["2024-06-03"])]
Entity = Annotated[
    str, Field(description="Issuer CIK with 10 digits, or chain and contract address.", examples=["0000320193"])
]
Text = Annotated[str, Field(examples=["EARNINGS_SURPRISE"])]
Number = Annotated[float, Field(examples=[0.25])]
Count = Annotated[int, Field(ge=0, examples=[12])]


def _no_text(value: Any) -> Any:
    if isinstance(value, str | bytes | bool):
        raise ValueError("a whole number")
    return value


# Beside the bounds of a whole number, as JSON writes one: 3 or 3.0, and neither "3" nor true.
WHOLE = BeforeValidator(_no_text)
Document = Annotated[dict[str, Any], Field(examples=[{"schema": "signaldelta.example/1"}])]


def example(model: type[BaseModel]) -> dict[str, Any]:
    """Return one example of `model`, put together from the examples of its fields."""
    return {field.alias or name: _field_example(field) for name, field in model.model_fields.items()}


def _field_example(field: Any) -> Any:
    if field.examples:
        return field.examples[0]
    return _annotation_example(field.annotation, field)


def _annotation_example(annotation: Any, field: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return example(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        given = [item.examples[0] for item in arguments[1:] if getattr(item, "examples", None)]
        return given[0] if given else _annotation_example(arguments[0], field)
    if origin is list:
        return [_annotation_example(arguments[0], field)]
    if origin is dict:
        return {"example": _annotation_example(arguments[1], field)}
    if origin is Literal:
        return arguments[0]
    if type(None) in arguments:
        return _annotation_example(next(item for item in arguments if item is not type(None)), field)
    if not field.is_required():
        return to_jsonable_python(field.get_default(call_default_factory=True))
    raise TypeError(f"no example for {annotation!r}")


def _with_example(schema: dict[str, Any], model: type[BaseModel]) -> None:
    schema["examples"] = [example(model)]


class Schema(BaseModel):
    """A response model; its example is composed, so that it cannot drift from the fields."""

    model_config = ConfigDict(json_schema_extra=_with_example)


class Meta(Schema):
    """What a list rests on."""

    limit: int = Field(examples=[100])
    next_cursor: str | None = Field(None, description="Null on the last page.", examples=["eyJrIjpbXX0"])


class ClockMeta(Meta):
    """What a point-in-time list rests on."""

    as_of: Time
    known_as_of: Time


class LatencyModelName(Schema):
    """The latency model available_time was derived with."""

    hash: Sha256
    name: str = Field(examples=["availability_basis"])
    chosen_by: Literal["parameter", "definitions", "newest"] = Field(
        description="Asked for; or the availability basis of the definitions; or the newest stored.",
        examples=["definitions"],
    )
