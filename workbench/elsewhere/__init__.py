"""Runs that dlwb did not start: of people's own scripts, and of other programs' logs."""
