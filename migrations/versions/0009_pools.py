"""Pools: the tokens, decimals and first block of a Uniswap V2 pair."""

from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None

_WHY = "What does not change of a Uniswap V2 pool: its tokens in the contract''s order, their decimals, its creation."


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE signaldelta.pools (
          entity_id TEXT NOT NULL,
          token0 TEXT NOT NULL,
          token1 TEXT NOT NULL,
          decimals0 SMALLINT,
          decimals1 SMALLINT,
          created_block BIGINT,
          updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
          CONSTRAINT pk_pools PRIMARY KEY (entity_id),
          CONSTRAINT fk_pools_entity_id FOREIGN KEY(entity_id) REFERENCES signaldelta.securities (entity_id)
        )
        """
    )
    op.execute(f"COMMENT ON TABLE signaldelta.pools IS '{_WHY}'")
    op.execute("CREATE INDEX ix_pools_created_block ON signaldelta.pools (created_block)")


def downgrade() -> None:
    op.execute("DROP TABLE signaldelta.pools")
