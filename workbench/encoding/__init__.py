"""From raw input to arrays and from arrays to an answer, the same for a project's `predict` and for serving; and the folder of a model."""
