"""Reading files of an archive in place: plain or gzipped, never written."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from ..archive import Document

# Litigation releases carry their whole text in one field.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def read(path: Path) -> bytes:
    """Return the recorded bytes: those of the file, or what its gzip holds."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def read_head(path: Path, size: int) -> bytes:
    """Return the first `size` recorded bytes."""
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            return packed.read(size)
    with path.open("rb") as file:
        return file.read(size)


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file as dicts; undecodable bytes are kept as replacement characters."""
    text = io.StringIO(read(path).decode("utf-8-sig", "replace"), newline="")
    yield from csv.DictReader(text)


def document(root: Path, path: Path, media_type: str) -> Document:
    """Return a recorded file as the document it is, byte for byte."""
    return Document(read(path), media_type, relative(root, path), modified=path.stat().st_mtime)


def relative(root: Path, path: Path) -> str:
    """Return the name of `path` inside the archive."""
    return path.relative_to(root).as_posix()


def stem(path: Path) -> str:
    """Return the file name without `.gz` and without its last suffix."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0]


def listing(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match, in name order; an absent folder is an empty one."""
    return sorted(path for path in folder.glob(pattern) if path.is_file()) if folder.is_dir() else []
