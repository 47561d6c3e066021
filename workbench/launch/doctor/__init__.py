"""What is wrong with this machine: checks, each with what mends it."""
