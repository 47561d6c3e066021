"""What the screens show, without a widget in it."""
