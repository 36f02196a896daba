"""Studies with their files and results, workers, keys, and an audit log that cannot be changed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Time = sa.DateTime(timezone=True)
#: Removed with their study.
_STUDY_PARTS = ("study_inputs", "study_artifacts", "study_warnings", "study_lesions")

#: What makes the audit log append-only, by database: statements to put it in place.
_GUARDS = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_log_no_{event.lower()} BEFORE {event} ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        for event in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
        "CREATE TRIGGER audit_log_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()",
    ),
}


def upgrade() -> None:
    _studies()
    _study_parts()
    _service_tables()
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_log_guard ON audit_log")
        op.execute("DROP FUNCTION audit_log_is_append_only")
    for table in ("audit_log", "api_keys", "workers", *_STUDY_PARTS, "studies"):
        op.drop_table(table)


def _studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("failure", sa.JSON),
        sa.Column("lesion_count", sa.Integer),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("updated_at", _Time, nullable=False),
        *(sa.Column(f"{event}_at", _Time) for event in ("started", "finished", "expires")),
        *(sa.Column(f"{event}_at", _Time) for event in ("dispatched", "deleted")),
        sa.Column("worker", sa.String(200)),
        sa.Column("claims", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(64)),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_studies_owner_idempotency_key"),
    )
    op.create_index("ix_studies_owner_created_at", "studies", ["owner", "created_at"])
    op.create_index("ix_studies_state", "studies", ["state"])


def _study_parts() -> None:
    _study_part(
        "study_inputs",
        "number",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("ending", sa.String(16), nullable=False),
        sa.Column("sequence", sa.String(32)),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    _study_part(
        "study_artifacts",
        "name",
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _Time, nullable=False),
    )
    _study_part(
        "study_warnings",
        "phase",
        "number",
        sa.Column("phase_order", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    _study_part("study_lesions", "number", sa.Column("content", sa.JSON, nullable=False))


def _study_part(table: str, *columns: str | sa.Column[object]) -> None:
    """Create a table of parts of a study; columns given by name are part of the primary key."""
    kinds: dict[str, sa.types.TypeEngine[Any]] = {
        "number": sa.Integer(),
        "name": sa.String(64),
        "phase": sa.String(16),
    }
    keys = [column for column in columns if isinstance(column, str)]
    op.create_table(
        table,
        sa.Column("study_id", sa.String(32), nullable=False),
        *(sa.Column(key, kinds[key], nullable=False) for key in keys),
        *(column for column in columns if not isinstance(column, str)),
        sa.PrimaryKeyConstraint("study_id", *keys, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=f"fk_{table}_study_id", ondelete="CASCADE"),
    )


def _service_tables() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=False),
        sa.Column("started_at", _Time, nullable=False),
        sa.Column("beat_at", _Time, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", _Time, nullable=False),
        sa.Column("expires_at", _Time),
        sa.Column("revoked_at", _Time),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_table(
        "audit_log",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("study_id", sa.String(32)),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_log"),
    )
