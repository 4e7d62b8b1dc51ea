"""`python -m sandbox.plugins.kubernetes`: serves the stand-in to the engine that started it."""

from __future__ import annotations

from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.serve import serve

if __name__ == "__main__":
    serve(KubernetesProvider())
