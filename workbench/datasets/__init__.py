"""One file per data set: fetch, verify, read into arrays. data/catalog.yaml lists all data sets."""
