"""Places in the write-ahead log and the names of its segments, as PostgreSQL writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

SEGMENT = re.compile(r"[0-9A-F]{24}")


def parse_lsn(text: str) -> int:
    """Return the place written as ``0/2000028``. Raises ValueError."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(place: int) -> str:
    """Return the place as PostgreSQL writes it."""
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def segment_name(timeline: int, place: int, segment_bytes: int) -> str:
    """Return the name of the segment that the byte at `place` is in."""
    number, per_file = place // segment_bytes, 0x1_0000_0000 // segment_bytes
    return f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}"


def segments(timeline: int, first: int, last: int, segment_bytes: int) -> Iterator[str]:
    """Yield the names of the segments from the byte `first` to the byte `last`."""
    for number in range(first // segment_bytes, last // segment_bytes + 1):
        yield segment_name(timeline, number * segment_bytes, segment_bytes)


def segment_start(name: str, segment_bytes: int) -> int:
    """Return the first place of the segment `name`."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * segment_bytes
