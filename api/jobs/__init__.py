"""Jobs: what users file, launched through Dagster's webserver, followed to its end, and what kept failing.

Here live the client of Dagster's GraphQL, what each kind is to Dagster, the dispatcher with its election, and the dead
letters. Rows of jobs are in `warehouse.stores.jobs`; what works is Dagster. Never here: the work itself.
"""

from .client import DagsterClient, DagsterError, RefusedLaunchError, UnreachableError
from .dispatcher import Dispatcher, Pace
from .kinds import dagster_link

__all__ = [
    "DagsterClient",
    "DagsterError",
    "Dispatcher",
    "Pace",
    "RefusedLaunchError",
    "UnreachableError",
    "dagster_link",
]
