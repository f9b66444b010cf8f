"""The names in paths: what each route is asked by, with its limits and an example. A name that is too long is no name.

A name is looked up as it is, among rows and never among files, so that `..` or a quotation mark is a name like others:
one that nothing has.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

LONGEST = 200
# Without control characters: what `walls.text` asks of paths and queries, for what comes otherwise.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
_ULID = "01HZFNS0V0QJ5Y8T1J3M8Z6K4D"
_SHA256 = "3f" * 32


def _path(description: str, example: str, longest: int = LONGEST) -> object:
    return Path(min_length=1, max_length=longest, description=description, examples=[example])


RunName = Annotated[str, _path("A run, by its id or hash.", _ULID)]
FileName = Annotated[str, _path("A file of the run, by its name or the SHA-256 of its bytes.", "scores.parquet")]
SnapshotName = Annotated[str, _path("A snapshot, by its id or hash.", _ULID)]
FileHash = Annotated[str, _path("A file that the manifest names, by the SHA-256 of its bytes.", _SHA256)]
DatasetName = Annotated[str, _path("A dataset, by its id or hash.", _ULID)]
DocumentHash = Annotated[str, _path("The SHA-256 of the document.", _SHA256)]
EventId = Annotated[str, _path("A signal event.", _ULID)]
LabelId = Annotated[str, _path("A label.", _ULID)]
EntityName = Annotated[str, _path("Issuer CIK with 10 digits, or chain and contract address.", "0000320193")]
SignalName = Annotated[str, _path("A signal of the catalogue.", "S001")]
Term = Annotated[str, _path("A signal, family, chain or event type, or a word of a report or score.", "S001")]
Upstream = Annotated[str, _path("Whose feed it is.", "edgar")]
FeedName = Annotated[str, _path("The feed of that upstream.", "form_8k")]
