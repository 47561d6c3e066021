"""`python -m workbench.cli` is `dlwb`."""

from workbench.cli import main

main()
