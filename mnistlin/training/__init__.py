"""Mini-batch gradient descent on a stack of models: batches, evaluation, stopping, the loop.

Pure: a split goes in, epochs come out; no files, no printing, no clock.
"""
