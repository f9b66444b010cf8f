"""Alembic's entry point: one transaction for all steps, under a lock, so that concurrent starts cannot collide."""

from alembic import context
from sqlalchemy import create_engine, pool, text

_LOCK = 0x5D_0002


def run() -> None:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.configure(connection=connection, transaction_per_migration=False)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("offline migrations are not used: migrations/schema.sql is the schema as text")
run()
