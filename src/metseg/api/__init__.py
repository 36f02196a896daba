"""The functions of the Python API, by subject: what the command line does, for scripts and notebooks.

Use them as ``metseg.<name>``, which loads each module when a name of it is first used. Arrays are (X, Y, Z): for
pictures column, row, slice.
"""
