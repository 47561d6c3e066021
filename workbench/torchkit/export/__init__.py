"""Exports a run as a model folder: the graph, its parity with the project on real inputs, and the files around it."""
