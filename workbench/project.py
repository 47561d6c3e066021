"""A door for people's own files: what a project writes stands in workbench.training.project."""

from workbench.training.project import Batches, Field, Own, Project, Request, Settings, live

__all__ = ["Batches", "Field", "Own", "Project", "Request", "Settings", "live"]
