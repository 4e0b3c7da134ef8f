"""Image datasets: the IDX format, known sets, finding, downloading and splitting them.

Nothing here knows of models or training. The way in is `splits.load_splits`; `inventory` answers
what lies on this machine.
"""
