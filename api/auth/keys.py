"""API keys: `sd_<prefix>_<secret>`. The prefix finds a key and may be shown; the secret is shown once, kept as a hash.

SHA-256 and no slow hash: the secret is 256 random bits, not a word of somebody's choosing. What slowness buys, that
a stolen hash cannot be tried against all likely passwords, entropy gives already; a slow hash would only make every
request slow, and a flood of wrong keys expensive for us.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from signaldelta_assets.versioning import sha256_hex

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX, _SECRET = 10, 43
_SHAPE = re.compile(rf"sd_([0-9A-Za-z]{{{_PREFIX}}})_[0-9A-Za-z]{{{_SECRET}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A new key: its text for its owner alone, the prefix and the SHA-256 to keep."""

    text: str = field(repr=False)
    prefix: str
    key_hash: str


def make_key() -> KeyText:
    """Return a new key from the system's random numbers: 43 characters of 62 are 256 bits."""
    prefix, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (_PREFIX, _SECRET))
    text = f"sd_{prefix}_{secret}"
    return KeyText(text, prefix, hash_key(text))


def hash_key(text: str) -> str:
    """Return what is kept of a key: the SHA-256 of its whole text, hexadecimal."""
    return sha256_hex(text.encode())


def prefix_of(text: str) -> str | None:
    """Return the prefix of what has the shape of a key, None for anything else."""
    found = _SHAPE.fullmatch(text)
    return None if found is None else found[1]
