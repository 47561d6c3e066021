"""Lessons of part 1: matrices and NumPy."""
