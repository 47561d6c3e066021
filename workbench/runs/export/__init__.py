"""A run for other programs and other people: one HTML page, CSV, JSON, TensorBoard."""
