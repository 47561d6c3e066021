"""A model on a page: a function that asks the endpoint, a gateway in front of it, a page; each a process of its own, as in a cloud."""

from pathlib import Path

STATIC, HANDLERS = Path(__file__).parent / "static", Path(__file__).parent / "handlers"
"""The page's files, and the functions that come with dlwb."""
