"""`POST /predict/`: segment one picture at once, in a separate process.

`client` runs in the API and has light imports; `child` is the process; `answer` creates the response.
"""
