"""Answers of rows: a page in any form, with its ETag; a stream of batches of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson
import pyarrow as pa
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from signaldelta_assets.versioning import hash_document

from ..caching import answer_bytes, not_modified, tag_headers
from ..problems import responses
from .columns import arrow_schema, record_batch
from .negotiation import BULK, JSON, PAGE, Format
from .writing import encoded

_VARY = {"Vary": "Accept"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
# orjson's are the forms of the schemas: RFC 3339 with Z.
_OPTIONS = orjson.OPT_UTC_Z


def forms(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declarations of a list in every form, with the problems it may answer with."""
    content = {one.media_type: _BINARY for one in PAGE if one is not JSON}
    return {200: {"content": content}, **responses(406, *statuses)}


def _bulk(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {one.media_type: _BINARY for one in BULK}
    words = "All rows, a batch at a time. Cut short, an Arrow stream lacks its end marker and Parquet its footer."
    return {200: {"description": words, "content": content}, **responses(404, 406, *statuses)}


PAGE_RESPONSES = forms()
BULK_RESPONSES = _bulk()


@dataclass(frozen=True, slots=True)
class Origin:
    """What rows rest on, for the metadata of a file and for its name.

    name: what they are of, such as ``scores_0000320193``. facts: clocks, hashes, filters; told as text, None left out.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[bytes, bytes]:
        """Return the facts as metadata of an Arrow schema, every name with the prefix ``signaldelta.``."""
        return {f"signaldelta.{name}".encode(): _told(value) for name, value in self.facts.items() if value is not None}

    def filename(self, form: Format) -> str:
        """Return the name of a file: of what, as of when."""
        moment = self.facts.get("as_of")
        when = f"_{moment:%Y%m%dT%H%M%SZ}" if isinstance(moment, datetime) else ""
        return f"{self.name}{when}{form.suffix}"


def _told(value: Any) -> bytes:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z").encode()
    return value.encode() if isinstance(value, str) else orjson.dumps(value, option=_OPTIONS)


def _headers(origin: Origin, form: Format) -> dict[str, str]:
    if form == JSON:
        return dict(_VARY)
    # What a name holds came in with the request; quoted, it is one word (RFC 6266).
    return _VARY | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(origin.filename(form), safe='')}"}


def in_zulu(shown: bytes) -> bytes:
    """Return JSON of the database, which writes UTC with an offset, with Z, as every other answer has it."""
    return shown.replace(b'+00:00"', b'Z"')


def answer_shown(request: Request, shown: Sequence[str], meta: BaseModel, *, one: bool = False) -> Response:
    """Return a page of rows that are JSON already, as `answer_rows` does of rows. `one`: the only row, not a list."""
    rows = ",".join(shown).encode()
    data = in_zulu(rows if one else b"[%b]" % rows)
    body = b'{"data":%b,"meta":%b}' % (data, orjson.dumps(dict(meta), default=_plain, option=_OPTIONS))
    return answer_bytes(request, body, immutable=False, headers=_VARY)


def answer_rows(
    request: Request,
    form: Format,
    row: type[BaseModel],
    rows: Sequence[Mapping[str, Any]],
    meta: BaseModel | None,
    origin: Origin,
    *,
    immutable: bool = False,
    json_text: Sequence[str] = (),
) -> Response:
    """Return a page in the form asked for, with its ETag, or 304.

    In other forms than JSON the cursor of the page after it is in the header `Link` (RFC 8288). json_text: the fields
    that are JSON as text in `rows` already. Of each row the fields of the schema `row` are shown, which it must have.
    """
    headers = _headers(origin, form)
    if form == JSON:
        names = tuple(row.model_fields)
        shown = [{name: each[name] for name in names} for each in rows]
        for name in json_text:
            for each in shown:
                each[name] = orjson.Fragment(each[name])
        document: dict[str, Any] = {"data": shown}
        if meta is not None:
            document["meta"] = dict(meta)
        body = orjson.dumps(document, default=_plain, option=_OPTIONS)
        return answer_bytes(request, body, immutable=immutable, headers=headers)
    cursor = getattr(meta, "next_cursor", None)
    if cursor is not None:
        headers["Link"] = f'<{request.url.include_query_params(cursor=cursor)}>; rel="next"'
    schema = arrow_schema(row)
    schema = schema.with_metadata(origin.metadata())
    body = b"".join(encoded(form, schema, [record_batch(rows, schema)]))
    return answer_bytes(request, body, immutable=immutable, media_type=form.media_type, headers=headers)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def answer_stream(
    request: Request,
    form: Format,
    schema: pa.Schema,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    origin: Origin,
    *,
    content: str | None = None,
) -> Response:
    """Stream batches in the form asked for, each made when the reader has taken the one before.

    batches: called when the first byte is sent, in a thread. content: names the rows where they can never change; then
    the answer has a strong ETag, of the form and of the library that writes it, and may be kept for ever.
    """
    headers = _headers(origin, form)
    if content is not None:
        tag = hash_document([content, form.name, pa.__version__])
        headers |= tag_headers(tag, immutable=True)
        if (kept := not_modified(request, tag, headers)) is not None:
            return kept
    else:
        headers["Cache-Control"] = "no-store"
    told = schema.with_metadata({**(schema.metadata or {}), **origin.metadata()})

    def body() -> Iterator[bytes]:
        for piece in encoded(form, told, (batch.cast(told) for batch in batches())):
            if piece:
                yield piece

    return StreamingResponse(body(), media_type=form.media_type, headers=headers)
