"""A stand-in for the AWS plugin: the resource types that the program uses, through AWS's own API."""
