"""Lessons of part 4: text by characters and words, film reviews."""
