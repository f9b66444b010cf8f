"""The classifications that are asked for. A task is code, and its hash is part of every request."""

from __future__ import annotations

from .request import Task

MATERIAL_AGREEMENT = Task(
    name="material_agreement",
    instruction=(
        "You read the text of a Form 8-K filed with the SEC under item 1.01, entry into a material definitive "
        "agreement. Decide what the agreement is. "
        "merger: a merger, tender offer or business combination of whole companies. "
        "acquisition: the purchase of a business, of shares or of assets by the registrant. "
        "divestiture: their sale by the registrant. "
        "financing: a credit agreement, indenture, underwriting or sale of the registrant's own securities. "
        "other: anything else."
    ),
    labels=("merger", "acquisition", "divestiture", "financing", "other"),
    max_characters=6_000,
)

TASKS = {task.name: task for task in (MATERIAL_AGREEMENT,)}
