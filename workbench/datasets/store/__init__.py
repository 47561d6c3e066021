"""The files of the data sets: the catalogue, the mirror, downloads, archives."""
