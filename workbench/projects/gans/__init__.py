"""Lessons of part 5: generative adversarial networks."""
