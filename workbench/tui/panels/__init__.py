"""The parts of the screens: one panel in each file."""
