"""The score straight from the formulas of scoring.md, in plain Python: slow, and sharing nothing with the kernel."""

from __future__ import annotations

import math
from typing import Any

Event = dict[str, Any]  # event_id, signal_id, at (seconds), x, r, d, and maybe g


def _sigma(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def triple(
    document: dict[str, Any], events: list[Event], t: float, without_family: str | None = None
) -> dict[str, Any]:
    """Return every figure except the counterfactuals."""
    floor = document["evidence_floor"]
    by_signal: dict[str, list[float]] = {}
    for e in sorted((e for e in events if e["at"] <= t), key=lambda e: (e["at"], e["event_id"])):
        s = document["signals"][e["signal_id"]]
        delta = 2 ** (-(t - e["at"]) / (s["half_life_hours"] * 3600))
        w = s["weight"] * document["tiers"][str(s["tier"])] * e["x"] * e["r"] * e.get("g", 1.0) * delta
        sums = by_signal.setdefault(e["signal_id"], [0.0] * 4)
        for i, value in enumerate((w, w * e["d"], w * e["r"], w * (t - e["at"]))):
            sums[i] += value
    by_signal = {
        s: sums
        for s, sums in by_signal.items()
        if sums[0] >= floor and document["signals"][s]["family"] != without_family
    }
    types = document["chains"]["types"]
    figures: dict[str, Any] = dict.fromkeys(
        ("evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering"), 0.0
    )
    figures |= {"n_events": sum(e["at"] <= t for e in events), "legacy_score": 50.0}
    figures["chain_probabilities"] = dict.fromkeys(types, 0.0) | {"UNKNOWN": 1.0}
    if not by_signal:
        return figures

    families: dict[str, list[float]] = {}
    for s, sums in by_signal.items():
        total = families.setdefault(document["signals"][s]["family"], [0.0] * 4)
        for i in range(4):
            total[i] += sums[i]
    B = {
        f: -document["families"][f]["budget"] * math.expm1(-v[0] / document["families"][f]["budget"])
        for f, v in families.items()
    }
    beta = {f: B[f] / families[f][0] for f in families}
    age = {f: families[f][3] / families[f][0] for f in families}
    stage = {f: document["families"][f]["stage"] for f in families}

    def rho(f: str, g: str) -> float:
        return 1.0 if f == g else document["correlation"].get(f"{f}|{g}", document["correlation"].get(f"{g}|{f}", 0.0))

    total = sum(B.values())
    joint = sum(B[f] * rho(f, g) * B[g] for f in B for g in B)
    E = total * math.sqrt(sum(b * b for b in B.values()) / joint)
    N = total**2 / joint
    k, theta = document["magnitude"]["k"], document["magnitude"]["theta"]
    M = (_sigma(k * (E - theta)) - _sigma(-k * theta)) / (1 - _sigma(-k * theta))
    L = sum(beta[f] * families[f][1] for f in B) / total
    Q = sum(beta[f] * families[f][2] for f in B) / total
    c = document["confidence"]
    V = N / (N + c["diversity_half_point"])
    pairs = [(f, g) for f in sorted(B) for g in sorted(B) if f < g and stage[f] != stage[g]]
    tau = 0.0
    if pairs:
        tolerance = c["ordering_tolerance_hours"] * 3600
        tau = sum(
            B[f] * B[g] * math.copysign(1, stage[g] - stage[f]) * min(max((age[f] - age[g]) / tolerance, -1), 1)
            for f, g in pairs
        ) / sum(B[f] * B[g] for f, g in pairs)
    T = c["ordering_floor"] + (1 - c["ordering_floor"]) * (1 + tau) / 2
    C = Q ** c["a"] * V ** c["b"] * T ** c["c"]

    z = dict.fromkeys(types, 0.0)
    backing: dict[str, set[str]] = {name: set() for name in types}
    for s, sums in by_signal.items():
        f = document["signals"][s]["family"]
        for name, affinity in document["signals"][s]["chain_affinity"].items():
            if affinity > 0:
                z[name] += beta[f] * sums[0] * affinity
                backing[name].add(f)
    logits = {name: z[name] for name in types if len(backing[name]) >= document["chains"]["min_families"][name]}
    logits["UNKNOWN"] = document["chains"]["unknown_logit"]
    top = max(logits.values())
    p = {name: math.exp((value - top) / document["chains"]["temperature"]) for name, value in logits.items()}
    figures["chain_probabilities"] |= {name: value / sum(p.values()) for name, value in p.items()}
    legacy = 50 * (1 + L * M * C ** document["legacy"]["gamma"])
    return figures | {
        "evidence": E, "effective_families": N, "magnitude": M, "lean": L, "confidence": C, "quality": Q,
        "diversity": V, "ordering": T, "legacy_score": legacy, "families": set(B),
    }  # fmt: skip


def score(document: dict[str, Any], events: list[Event], t: float) -> dict[str, Any]:
    """Return every figure of `ScoreSample`, counterfactuals by scoring again; `event_deltas` has all events."""
    whole = triple(document, events, t)
    whole["verdict"] = ("STRONG_SELL", "SELL", "HOLD", "BUY", "STRONG_BUY")[
        sum(whole["legacy_score"] >= cut for cut in document["legacy"]["cuts"])
    ]
    whole["family_deltas"] = {}
    for family in whole.pop("families", ()):
        rest = triple(document, events, t, without_family=family)
        whole["family_deltas"][family] = {key: whole[key] - rest[key] for key in ("magnitude", "lean", "confidence")}
    whole["event_deltas"] = {
        e["event_id"]: whole["magnitude"] - triple(document, [o for o in events if o is not e], t)["magnitude"]
        for e in events
        if e["at"] <= t
    }
    return whole
