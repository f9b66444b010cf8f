"""Run an asset over a range of days as Dagster does for a job of the API: with the tag of the request it comes of.

python -m tests.platform.traced ASSET FIRST LAST CORRELATION_ID [CORRELATION_ID_OF_ONE_THAT_FAILS]
"""

from __future__ import annotations

import os
import sys

import dagster as dg

from signaldelta_assets.correlation import RUN_TAG
from signaldelta_assets.definitions import defs
from signaldelta_assets.defs.partitions import RANGE_END, RANGE_START


def main(asset: str, first: str, last: str, *identifiers: str) -> None:
    """Execute runs against the instance of the environment and print their ids; the second has no key upstream."""
    job = defs().resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        for identifier in identifiers:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(asset.split("/"))],
                tags={RUN_TAG: identifier, RANGE_START: first, RANGE_END: last},
                raise_on_error=False,
            )
            print(f"run {result.run_id}")
            os.environ.pop("SIGNALDELTA_POLYGON_API_KEY", None)


if __name__ == "__main__":
    main(*sys.argv[1:])
