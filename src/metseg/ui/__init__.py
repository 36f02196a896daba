"""The page: what people see of the service. It talks HTTP to the API; of metseg it knows `wire` and `errors` alone.

What decides and computes is apart from what draws: modules without ``streamlit`` among their imports are plain
functions; the others each are one part of the page.
"""
