"""`python -m sandbox.plugins.aws`: the process that the engine starts."""

from sandbox.plugins.aws.provider import AwsProvider
from sandbox.plugins.serve import serve

if __name__ == "__main__":
    serve(AwsProvider())
