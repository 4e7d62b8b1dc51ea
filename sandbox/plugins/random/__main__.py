"""`python -m sandbox.plugins.random`: the process that the engine starts."""

from sandbox.plugins.random.provider import RandomProvider
from sandbox.plugins.serve import serve

if __name__ == "__main__":
    serve(RandomProvider())
