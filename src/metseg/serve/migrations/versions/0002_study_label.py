"""A label that users give to a study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("label", sa.String(60), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("studies") as table:
        table.drop_column("label")
