"""The service: an API that accepts studies, workers that process them, and a database that both share.

`docs/service.md` describes the design. Only `serve.sync_predict.child` and the phases of `serve.jobs` import torch.
"""
