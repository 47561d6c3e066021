"""One file per course project, each readable from top to bottom. The file name is the name a recipe gives."""
