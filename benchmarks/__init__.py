"""Measurements of speed and memory, as ratios within one run; a noisy machine allows no others.

Each module is a command: `python -m benchmarks.peers`, `.scale`, `.sweep`, `.profile`.
"""
