"""`POST /predict/`: one picture, answered at once, in a process of its own.

`client` is the API's side and imports nothing heavy; `child` is the process; `answer` makes what is sent back.
"""
