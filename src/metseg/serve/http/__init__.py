"""Requests and responses of the API: forms, uploads, validation, errors, OpenAPI."""
