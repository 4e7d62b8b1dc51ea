"""The Python language host stand-in: runs a Pulumi program for the engine, as `pulumi-language-python` does."""

# The official host has the version of the engine it is shipped with; the sandbox builds this one.
VERSION = "3.250.0"
