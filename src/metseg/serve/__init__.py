"""The service: an API that accepts studies, workers that work them off, and one database that both trust.

`docs/service.md` is the design. Nothing here imports torch but `serve.instant.child` and what `serve.jobs` calls.
"""
