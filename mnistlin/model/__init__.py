"""The mathematics: heads, the linear model, and the minimum and sharpness of its objective.

Pure: arrays in, values out; no files, no printing, no clock.
"""
