"""What the API receives and answers: forms, uploads, validation, errors, OpenAPI."""
