"""What screens are made of: one panel a file."""
