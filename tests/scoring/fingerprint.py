"""Score a fixed panel and print the SHA-256 of every column's bits: run in processes that differ in all but the input.

The first line says whether anything had been compiled by importing the package.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import timedelta

import pyarrow as pa

from signaldelta_assets.scoring import (
    ScoringModel,
    compact_grid,
    decay,
    family_counterfactuals,
    family_shapley,
    kernel,
    score,
    score_grid,
)
from signaldelta_assets.versioning import content_hash

from .cases import HOUR, NOW, bits, model_document, panel


def fingerprint() -> dict[str, str]:
    """Return the digests, by column, of three grids, compact ones and counterfactuals, and those of explanations."""
    digests: dict[str, str] = {}
    for seed in (11, 12, 13):
        document = model_document(seed)
        model = ScoringModel.from_dict(document)
        events = panel(seed, document, events=90)
        for make in (score_grid, family_counterfactuals):
            grid = make(events, model, NOW - 36 * HOUR, NOW, timedelta(minutes=90))
            digests |= {f"{seed} {name}": hashlib.sha256(data).hexdigest() for name, data in bits(grid).items()}
        compact, alert_score = compact_grid(events, model, NOW - 36 * HOUR, NOW, timedelta(minutes=90))
        digests[f"{seed} compact"] = content_hash(compact.append_column("alert_score", pa.array(alert_score)))
        own = events.filter([name == "ENT1" for name in events["entity_id"].to_pylist()])
        sample = repr((score(own, model, NOW, top_k=100), family_shapley(own, model, NOW)))
        digests[f"{seed} explanation"] = hashlib.sha256(sample.encode()).hexdigest()
    return digests


if __name__ == "__main__":
    entries = {"grid": kernel.grid, "explain": kernel.explain, "shapley": kernel.shapley, "anchor": decay.anchor}
    compiled = [name for name, entry in entries.items() if getattr(entry, "signatures", [])]
    digests = fingerprint()
    missed = sum(sum(entry.stats.cache_misses.values()) for entry in entries.values() if hasattr(entry, "stats"))
    json.dump({"compiled at import": compiled, "digests": digests, "compiled now": missed}, sys.stdout)
