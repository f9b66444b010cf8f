"""Which form a caller asks for: `?format=` before `Accept` (RFC 9110 section 12.5.1), and 406 for what there is not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request

from ..problems import ProblemError


@dataclass(frozen=True, slots=True)
class Format:
    """A form: its name in `?format=`, its media type, the suffix of a file of it."""

    name: str
    media_type: str
    suffix: str


JSON = Format("json", "application/json", ".json")
CSV = Format("csv", "text/csv", ".csv")
ARROW = Format("arrow", "application/vnd.apache.arrow.stream", ".arrows")
PARQUET = Format("parquet", "application/vnd.apache.parquet", ".parquet")
# The first is sent to whoever takes anything.
PAGE = (JSON, CSV, ARROW, PARQUET)
BULK = (ARROW, PARQUET, CSV)

PageName = Annotated[
    Literal["json", "csv", "arrow", "parquet"] | None,
    Query(description="The form of the answer, before the header `Accept`. Default: JSON.", examples=["arrow"]),
]
_BulkName = Annotated[
    Literal["arrow", "parquet", "csv"] | None,
    Query(description="The form of the answer, before the header `Accept`. Default: an Arrow stream.",
          examples=["parquet"]),
]  # fmt: skip


def chosen(accept: str | None, offered: tuple[Format, ...]) -> Format | None:
    """Return the form of `offered` that `accept` likes best, the earlier of two equals; None where it takes none."""
    if not accept:
        return offered[0]
    ranges: list[tuple[str, float]] = []
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        ranges.append((media.lower(), quality))

    def liking(form: Format) -> float:
        kind = form.media_type.partition("/")[0]
        # The most specific range decides, not the largest quality.
        for wanted in (form.media_type, f"{kind}/*", "*/*"):
            found = [quality for media, quality in ranges if media == wanted]
            if found:
                return found[0]
        return 0.0

    best = max(offered, key=liking)
    return best if liking(best) > 0 else None


def _choose(request: Request, name: str | None, offered: tuple[Format, ...]) -> Format:
    if name is not None:
        return next(form for form in offered if form.name == name)
    form = chosen(request.headers.get("accept"), offered)
    if form is None:
        words = ", ".join(one.media_type for one in offered)
        raise ProblemError(406, "not-acceptable", f"Accept: expected one of {words}", headers={"Vary": "Accept"})
    return form


def page_format(request: Request, name: str | None) -> Format:
    """Return what `FormatOf` gives, to a route that has `format` as a parameter of its own."""
    return _choose(request, name, PAGE)


async def _page(request: Request, format: PageName = None) -> Format:
    return page_format(request, format)


async def _bulk(request: Request, format: _BulkName = None) -> Format:
    return _choose(request, format, BULK)


Choosing = Callable[..., Coroutine[Any, Any, Format]]
FormatOf = Annotated[Format, Depends(_page)]
StreamFormatOf = Annotated[Format, Depends(_bulk)]
