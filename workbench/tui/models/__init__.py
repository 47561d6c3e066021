"""What the screens show, without any widget."""
