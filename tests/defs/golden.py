"""The golden file of definitions: ``python -m tests.defs.golden > tests/defs/definitions.json`` writes it again.

A code version that changes is a reviewed diff: the file says which assets a change of code makes stale.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import dagster as dg


def definitions_document(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    """Return what every asset is: group, owners, partitions, parents, checks, code version; and the schedules."""
    graph = repository.asset_graph
    assets = {}
    for key in sorted(graph.executable_asset_keys):
        node = graph.get(key)
        partitions = node.partitions_def
        policy = node.backfill_policy
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "owners": sorted(node.owners),
            "kinds": sorted(node.kinds),
            "partitions": None if partitions is None else type(partitions).__name__,
            "backfill": None if policy is None else policy.policy_type.value,
            "pools": sorted(node.pools or []),
            "parents": sorted(parent.to_user_string() for parent in node.parent_keys),
            "checks": {
                check.name: "blocking" if graph.get_check_spec(check).blocking else "warns"
                for check in sorted(node.check_keys)
                if key.path[0] not in ("staging", "marts")
            },
            "code_version": node.code_version,
        }
    schedules = {
        schedule.name: {"cron": schedule.cron_schedule, "zone": schedule.execution_timezone, "job": schedule.job_name}
        for schedule in repository.schedule_defs
    }
    return {"assets": assets, "schedules": dict(sorted(schedules.items()))}


if __name__ == "__main__":
    from signaldelta_assets.definitions import defs

    json.dump(definitions_document(defs().get_repository_def()), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
