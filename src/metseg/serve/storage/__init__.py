"""Database, files, keys and audit log of the service."""
