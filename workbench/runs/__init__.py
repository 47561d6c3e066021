"""What a run is and what it reached: its folder, log, history, lock and checkpoints; bars, comparisons, measured results."""
