"""`python -m sandbox.plugins.tls`: the process that the engine starts."""

from sandbox.plugins.serve import serve
from sandbox.plugins.tls.provider import TlsProvider

if __name__ == "__main__":
    serve(TlsProvider())
