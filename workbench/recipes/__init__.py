"""What to train: recipe files, read strictly; what a project's settings may be; which files of a person's own may run."""
