"""Figures of runs and sweeps, and the toolkit with which questions draw theirs.

`draw` writes the figures of runs and sweeps to files; `style`, `captions`, `panel`, `weights` and
`confusion` are what figures are made of. Nothing here knows a question.
"""
