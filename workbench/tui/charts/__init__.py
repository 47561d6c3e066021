"""Charts, pictures and matrices made of terminal cells: pure drawing functions, and widgets that repaint only what changes."""
