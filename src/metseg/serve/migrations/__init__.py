"""How the tables came to be, step by step; applied by `metseg.serve.storage.database` whenever a process starts."""
