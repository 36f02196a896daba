"""Follow-ups: finished studies of one patient, compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "follow_ups",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("label", sa.String(60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("headline", sa.JSON, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("artifacts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_follow_ups"),
    )
    op.create_index("ix_follow_ups_owner_created_at", "follow_ups", ["owner", "created_at"])
    op.create_table(
        "follow_up_examinations",
        sa.Column("follow_up_id", sa.String(32), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("study_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("day", sa.Date),
        sa.PrimaryKeyConstraint("follow_up_id", "place", name="pk_follow_up_examinations"),
        sa.ForeignKeyConstraint(
            ["follow_up_id"], ["follow_ups.id"], name="fk_follow_up_examinations_follow_up_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_follow_up_examinations_study_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_follow_up_examinations_study_id", "follow_up_examinations", ["study_id"])


def downgrade() -> None:
    op.drop_table("follow_up_examinations")
    op.drop_table("follow_ups")
