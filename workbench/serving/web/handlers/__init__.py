"""Functions that go to AWS Lambda as they are: they find the endpoint by the environment alone."""
