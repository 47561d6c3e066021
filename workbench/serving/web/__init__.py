"""A model on a page: a function that asks the endpoint, a gateway in front of it, a page; each a process of its own, as in a cloud."""
