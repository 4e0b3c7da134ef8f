"""Image datasets: the IDX format, known sets, finding, downloading and splitting them.

Nothing here knows of models or training. `splits.load_splits` is the way in; `locate` lists
and verifies what is on this machine.
"""
