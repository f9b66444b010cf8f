"""Two servers over one database: the whole API with all that it asks of a caller, and bare routes with its queries.

Bare is: FastAPI, the same functions that hold the queries, the same pool, the rows as JSON by orjson. No caller is
asked for, nothing is counted, no parameter but the entity, no moment is agreed on, no correlation id, no ETag. Served
as the API is: ``python -m tests.benchmarks.served --port N``.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

import orjson
from fastapi import FastAPI
from fastapi.responses import Response

from api import queries
from api.server import Serving, serve
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import PoolLimits, Warehouse

PAGE = 100


def bare() -> FastAPI:
    """Return the app with the bare routes alone."""
    limits = PoolLimits(int(os.environ["SIGNALDELTA_API_CONNECTIONS"]), wait_seconds=10)
    warehouse = Warehouse(os.environ["SIGNALDELTA_DATABASE_URL"], limits=limits)
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/latest/{entity_id}")
    def latest(entity_id: str) -> Response:
        now = datetime.now(UTC)
        with warehouse.read_pool().connection() as connection:
            row = queries.latest_score(connection, entity_id, {}, now, now, queries.SCORE_COLUMNS)
        return Response(orjson.dumps({"data": row}), media_type="application/json")

    @app.get("/history/{entity_id}")
    def history(entity_id: str) -> Response:
        now = datetime.now(UTC)
        with warehouse.read_pool().connection() as connection:
            rows = queries.score_history_page(
                connection, entity_id, {}, now, now, None, True, PAGE + 1, queries.SCORE_COLUMNS
            )
        return Response(orjson.dumps({"data": rows[:PAGE]}), media_type="application/json")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(Serving(port=parser.parse_args().port), load_settings(), "tests.benchmarks.served:bare")
