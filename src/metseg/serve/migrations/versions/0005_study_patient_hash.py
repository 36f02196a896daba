"""A keyed hash of the patient id of DICOM studies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("patient_hash", sa.String(64)))


def downgrade() -> None:
    with op.batch_alter_table("studies") as table:
        table.drop_column("patient_hash")
