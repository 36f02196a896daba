"""Run the migrations in the transaction of the given connection."""

from __future__ import annotations

from alembic import context

from metseg.serve.storage.db_models import Record

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Record.metadata,
    render_as_batch=True,  # SQLite changes a table by creating it again
    transactional_ddl=False,  # the transaction is ours: `Database.migrate`
)
context.run_migrations()
