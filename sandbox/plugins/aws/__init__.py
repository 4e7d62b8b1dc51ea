"""A stand-in for the AWS plugin: the resource types that the program uses, by AWS's own API."""
