"""What many PyTorch projects share. Nothing here sets anything process-wide at import."""
