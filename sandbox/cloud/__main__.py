"""Entry point: `python -m sandbox.cloud --home <home>` serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import sys

from sandbox.cloud.programs import CannotRunPostgres
from sandbox.cloud.saved_state import StateMismatch
from sandbox.cloud.server import ServerFailure
from sandbox.cloud.service import CannotStart, CloudService
from sandbox.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.cloud", description="AWS's API and its databases.")
    parser.add_argument("--home", required=True, help="the sandbox's directory")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(threadName)s: %(message)s"
    )
    for chatty in ("botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        CloudService(Home.at(arguments.home)).run()
    except (CannotStart, CannotRunPostgres, StateMismatch, ServerFailure, OSError) as error:
        logging.error("the cloud part does not run: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
