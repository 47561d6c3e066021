"""One file per data set: fetch, verify, read into arrays. What there is stands in data/catalog.yaml."""
