"""A stand-in of the `aws` plugin: the resource types of this program, against any endpoint that speaks AWS's API."""
