"""The mathematics: heads, the linear model and its gradient, and the proofs about them.

Pure: arrays in, values out; no files, no printing, no clock.
"""
