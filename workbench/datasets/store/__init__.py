"""The files of the data sets: catalogue, mirror, downloads, archives."""
