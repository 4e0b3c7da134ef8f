"""Image datasets: the IDX format, known sets, finding and downloading them, cutting them to splits.

Nothing here knows of models or training. The way in is `splits.load_splits`; `inventory` answers
what lies on this machine.
"""
