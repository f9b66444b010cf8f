"""What a change of the API's description means to who reads and asks by the old one: pure, document to changes.

A change is breaking where a client that is right by the old document can be wrong by the new one. A difference that no
rule knows is breaking: silence would be the worst answer.
"""

from .changes import Change, compare
from .rules import BREAKING, HARMLESS

__all__ = ["BREAKING", "HARMLESS", "Change", "compare"]
