"""`dlwb doctor`: what goes wrong on real machines, looked for before it does. Each check is a Finding with what mends it."""
