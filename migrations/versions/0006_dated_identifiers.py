"""Identifiers by share class, kept when a source replaces them; FIGIs and exchanges; days of listing and delisting."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    # The schema before had one row per name and source, and no place for what was superseded.
    for statement in (
        "DELETE FROM signaldelta.security_identifiers i WHERE superseded_at IS NOT NULL"
        " OR kind NOT IN ('ticker', 'name') OR EXISTS (SELECT FROM signaldelta.security_identifiers o"
        " WHERE (o.entity_id, o.kind, o.value, o.source) = (i.entity_id, i.kind, i.value, i.source)"
        " AND o.superseded_at IS NULL AND o.identifier_id < i.identifier_id)",
        "ALTER TABLE signaldelta.security_identifiers DROP CONSTRAINT pk_security_identifiers,"
        " DROP CONSTRAINT ck_security_identifiers_kind, DROP COLUMN identifier_id, DROP COLUMN share_class,"
        " DROP COLUMN is_primary, DROP COLUMN as_of, DROP COLUMN superseded_at,"
        " ADD CONSTRAINT ck_security_identifiers_kind CHECK (kind in ('ticker','name')),"
        " ADD CONSTRAINT pk_security_identifiers PRIMARY KEY (entity_id, kind, value, source)",
        "ALTER TABLE signaldelta.security_identifiers RENAME COLUMN ingest_time TO updated_at",
        "ALTER TABLE signaldelta.securities DROP COLUMN listed_on, DROP COLUMN delisted_on",
    ):
        op.execute(statement)
