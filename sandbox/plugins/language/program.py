"""Runs one Pulumi program against the engine. The program's own Python executes this as a file; it imports only the
SDK.

Exit codes are the language host's contract: 0 done, 32 failed with the message already shown, other failed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

MESSAGE_ALREADY_SHOWN = 32

# A script's own directory comes first on the path; the program must not import this host's modules from there.
if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

try:
    import pulumi
    import pulumi.runtime
except ImportError:
    print(
        traceback.format_exc()
        + "\nIt looks like the Pulumi SDK has not been installed. Have you run pip install?\nIf you are running in a "
        "virtualenv, you must run pip install -r requirements.txt from inside the virtualenv.",
        file=sys.stderr,
    )
    sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs a Pulumi program for the engine.")
    for name in ("monitor", "engine", "project", "root_directory", "stack", "pwd", "organization"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def configure(arguments: argparse.Namespace) -> None:
    """Connects the SDK to the engine. The configuration comes in environment variables, which `ps` does not show."""
    pulumi.runtime.set_all_config(
        pulumi.runtime.get_config_env(),
        pulumi.runtime.get_config_secret_keys_env(),
    )
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=arguments.monitor,
            engine=arguments.engine,
            project=arguments.project,
            stack=arguments.stack,
            parallel=arguments.parallel,
            dry_run=arguments.dry_run,
            organization=arguments.organization,
            root_directory=arguments.root_directory,
        )
    )


def main_module(program: str) -> str:
    """The file to run: a directory's `__main__.py`, or the file itself (`.py` may be left out)."""
    if os.path.isdir(program):
        return os.path.join(program, "__main__.py")
    return program


def user_traceback(error: BaseException, program: str) -> str:
    """The traceback from the program's own first frame on, or all of it if no frame is the program's."""
    wanted = os.path.realpath(main_module(program))
    frames = error.__traceback__
    while frames is not None:
        if os.path.realpath(frames.tb_frame.f_code.co_filename) == wanted:
            return "".join(traceback.format_exception(type(error), error, frames))
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def run(arguments: argparse.Namespace) -> int:
    sys.argv = [arguments.program, *arguments.arguments]
    if arguments.pwd:
        os.chdir(arguments.pwd)
    program = os.path.abspath(arguments.program)
    if not os.path.exists(main_module(program)):
        pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
        return MESSAGE_ALREADY_SHOWN

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Four threads for each resource operation that may be under way: one operation waits on several calls.
    executor = ThreadPoolExecutor(max_workers=max(arguments.parallel, 1) * 4)
    loop.set_default_executor(executor)
    # A failing program leaves futures unobserved; asyncio's complaints about them tell the user nothing.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    def run_main_module() -> None:
        runpy.run_path(arguments.program, run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run_main_module))
        return 0
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:
        pulumi.log.error("Program failed with an unhandled exception:\n" + user_traceback(error, program))
        return MESSAGE_ALREADY_SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    given = parse_arguments()
    configure(given)
    sys.exit(run(given))
