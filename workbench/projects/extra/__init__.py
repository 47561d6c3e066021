"""Lessons of part 7: what the course shows beside its projects."""
