"""Lessons of part 6: models that are deployed."""
