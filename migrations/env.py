"""Alembic's entry point: the steps run in the transaction of the connection they are given."""

from alembic import context


def run() -> None:
    context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("offline migrations are not used: migrations/schema.sql is the schema as text")
run()
