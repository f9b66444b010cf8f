"""What a version is: canonical JSON, SHA-256 names, ULIDs, code versions and the environment hash.

One way to do each: every hash in the platform is made here. Nothing here knows what it names.
"""

from .canonical import canonical_json, hash_document, sha256_file, sha256_hex
from .code import code_version, source_files
from .columns import content_hash
from .environment import environment_hash, environment_manifest
from .ids import content_ulid, new_ulid, ulid_time

__all__ = [
    "canonical_json",
    "code_version",
    "content_hash",
    "content_ulid",
    "environment_hash",
    "environment_manifest",
    "hash_document",
    "new_ulid",
    "sha256_file",
    "sha256_hex",
    "source_files",
    "ulid_time",
]
