"""`python -m sandbox.kubelet --home <home>`: runs the sandbox's node until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio

from sandbox.home import Home
from sandbox.kubelet.kubelet import Kubelet
from sandbox.kubelet.settings import KubeletSettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.kubelet")
    parser.add_argument("--home", required=True)
    given = parser.parse_args()

    async def run() -> None:
        # Created inside the loop, because its parts have events and queues that belong to this loop.
        await Kubelet(Home.at(given.home), KubeletSettings.from_environment()).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
