"""Alembic migrations; `metseg.serve.storage.database` applies them at the start of every process."""
