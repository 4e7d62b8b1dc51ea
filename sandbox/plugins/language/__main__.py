"""`python -m sandbox.plugins.language <engine address>`: the process that the engine starts."""

from __future__ import annotations

import sys

from sandbox.plugins.language.host import LanguageHost
from sandbox.plugins.protocol_messages import language_pb2_grpc
from sandbox.plugins.serve import serve_until_the_engine_ends


def main() -> None:
    # The engine may put flags of its own before the address.
    positional = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    host = LanguageHost(positional[0] if positional else "")
    serve_until_the_engine_ends(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server), host.kill_processes
    )


if __name__ == "__main__":
    main()
