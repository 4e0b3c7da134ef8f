"""Questions about runs and sweeps; each module answers one.

Functions of data and run folders that return values; printing and drawing are done elsewhere.
"""
