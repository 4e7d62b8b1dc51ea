"""The commands behind the Makefile: `python -m sandbox up|down|preview|...`.

Owns arguments, exit codes and output. `lifecycle`, the engine and `operations` do the work.
"""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sandbox import existing_teleport
from sandbox.control_plane import ControlPlane
from sandbox.home import CHECKOUT, Cache, Home
from sandbox.lifecycle import Sandbox
from sandbox.parts import CLOUD, KUBELET
from sandbox.stack import CloudFacts
from sandbox.summary import print_summary
from sandbox.supervisor import SandboxError, exclusive
from sandbox.toolchain import OFFICIAL_PLUGINS, USUAL_PLUGINS, ToolchainError

# The project's own operations, which work on real stacks too; here they get the sandbox's environment. Each with the
# arguments that the sandbox adds to the stack's configuration.
_OPERATIONS: Mapping[str, Callable[[Sandbox], list[str]]] = {
    "preflight": lambda sandbox: [],
    "recover": lambda sandbox: [],
    "diagnose": lambda sandbox: [],
    "graph": lambda sandbox: [],
    "verify": lambda sandbox: ["--values-before", str(existing_teleport.values_file(sandbox.home))],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. An error is one text on standard error, with the remedy."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.passes_on:
        parser.error(f"unknown argument: {' '.join(rest)}")
    options.rest = rest
    home = Home.at(options.home) if options.home else Home.from_environment()
    configuration = Path(options.config_file).resolve() if options.config_file else None
    sandbox = Sandbox(home, Cache.from_environment(), configuration, say=lambda line: print(line, flush=True))
    try:
        return int(options.run(sandbox, options))
    except (SandboxError, ToolchainError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"error: the disk is full ({error.filename or home.root}).\n"
            "  remedy: free some space and run the same command again: it goes on where it stopped",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The sandbox and the stack on it.")
    parser.add_argument("--home", help="the sandbox's directory (default: SANDBOX_HOME, else .sandbox in the checkout)")
    parser.add_argument("--config-file", help="the stack's configuration file (default: Pulumi.sandbox.yaml)")
    # Some commands pass arguments they do not know to the engine or to an operation.
    parser.set_defaults(passes_on=False)
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser

    add("tools", help="find or build the programs, start nothing").set_defaults(run=_tools)
    official = add("official", help="build official plugins from their sources, to be used from then on")
    official.add_argument(
        "names", nargs="*", type=_official_name, help=f"of {', '.join(OFFICIAL_PLUGINS)} (default: all but aws)"
    )
    official.add_argument("--remove", action="store_true", help="use the stand-ins again")
    official.set_defaults(run=_official)
    add("start", help="start the sandbox without running the engine").set_defaults(run=_start)
    for name, text, run in (
        ("up", "start, and deploy the stack; what follows goes to `pulumi up`", _up),
        ("preview", "start, and preview; what follows goes to `pulumi preview`", _preview),
    ):
        command = add(name, help=text)
        command.set_defaults(run=run, passes_on=True)
    adopt = add("adopt", help="write the values file of the Teleport release that runs; `--force`: in place of another")
    adopt.set_defaults(run=_adopt, passes_on=True)
    for name in _OPERATIONS:
        command = add(name, help=f"run operations {name} on the sandbox", add_help=False)
        command.set_defaults(run=_operation, name=name, passes_on=True)
    add("env", help="print export lines for a shell").set_defaults(run=_env)
    add("status", help="what runs, where it answers, which tools and plugins it uses").set_defaults(run=_status)
    down = add("down", help="destroy the stack, stop everything, remove the home")
    down.add_argument(
        "--no-destroy", action="store_true", help="leave the engine out: nothing outlives the home anyway"
    )
    down.set_defaults(run=_down)
    return parser


def _at_work(sandbox: Sandbox, what: str) -> AbstractContextManager[None]:
    return exclusive(sandbox.cache.lock_of(sandbox.home), sandbox.home, what)


def _tools(sandbox: Sandbox, options: argparse.Namespace) -> int:
    for tool in sandbox.tools().tools.values():
        print(f"{tool.name} {tool.version}  {tool.path}" + (f"  ({tool.note})" if tool.note else ""))
    return 0


def _official_name(text: str) -> str:
    if text not in OFFICIAL_PLUGINS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(OFFICIAL_PLUGINS)}")
    return text


def _official(sandbox: Sandbox, options: argparse.Namespace) -> int:
    if options.remove:
        sandbox.forget_official()
        print("the next start of a sandbox uses the stand-ins again, but for plugins that are installed")
        return 0
    plugins = sandbox.build_official(options.names or USUAL_PLUGINS)
    for name, path in plugins.items():
        print(f"{name}  {path or 'the official plugin itself is installed'}")
    if any(plugins.values()):
        print("the next start of a sandbox uses them; `make official ARGS=--remove` takes that back")
    return 0


def _start(sandbox: Sandbox, options: argparse.Namespace) -> int:
    with _at_work(sandbox, "start"):
        sandbox.start()
    return 0


def _up(sandbox: Sandbox, options: argparse.Namespace) -> int:
    with _at_work(sandbox, "up"):
        running = sandbox.start()
        if sandbox.stack.locked():
            print("an earlier `up` was killed: mending what it left (`make recover`)", flush=True)
            if sandbox.stack.repair_state():
                print("the state's last record was cut off: what was recorded before it is used", flush=True)
            code = _run_operation(sandbox, running.cloud, "recover", "--yes")
            if code != 0:
                return code
        print("\npulumi up", flush=True)
        code = sandbox.stack.run(
            "up", "--yes", "--skip-preview", "--suppress-outputs", *options.rest, cloud=running.cloud
        )
        if code == 0:
            print_summary(sandbox, running)
    return code


def _preview(sandbox: Sandbox, options: argparse.Namespace) -> int:
    with _at_work(sandbox, "preview"):
        running = sandbox.start()
        return sandbox.stack.run("preview", *options.rest, cloud=running.cloud)


def _adopt(sandbox: Sandbox, options: argparse.Namespace) -> int:
    values = sandbox.adopt(sandbox.running(), *options.rest)
    print(f"the values that the running Teleport was installed with: {values}\nthe sandbox's stack uses this file")
    return 0


def _operation(sandbox: Sandbox, options: argparse.Namespace) -> int:
    if "--help" in options.rest:  # the operation's own help needs no sandbox
        return subprocess.run([sys.executable, "-m", "operations", options.name, "--help"], cwd=CHECKOUT).returncode
    cloud = sandbox.running()
    if options.name == "recover" and sandbox.stack.locked():
        sandbox.stack.repair_state()
    return _run_operation(sandbox, cloud, options.name, *options.rest)


def _run_operation(sandbox: Sandbox, cloud: CloudFacts, name: str, *arguments: str) -> int:
    command = [sys.executable, "-m", "operations", name, "--config-file", str(sandbox.stack.configuration)]
    command += [*_OPERATIONS[name](sandbox), *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=sandbox.operation_environment(cloud)).returncode


def _env(sandbox: Sandbox, options: argparse.Namespace) -> int:
    print("\n".join(sandbox.stack.shell_lines(sandbox.running())))
    return 0


def _status(sandbox: Sandbox, options: argparse.Namespace) -> int:
    if not sandbox.exists:
        raise SandboxError(f"there is no sandbox in {sandbox.home.root}; `make up` makes one")
    print(f"home  {sandbox.home.root}")
    alive = True
    for name in (*ControlPlane.PARTS, CLOUD, KUBELET):
        process = sandbox.supervisor.running(name)
        alive &= process is not None
        print(
            f"  {name:<24} {f'process {process.pid}' if process else 'not running':<16} {sandbox.supervisor.log(name)}"
        )
    for link in sorted(sandbox.home.bin.iterdir()):
        print(f"  {link.name:<24} {os.readlink(link) if link.is_symlink() else link}")
    for name, fact in sandbox.facts():
        print(f"  {name:<24} {fact}")
    return 0 if alive else 1


def _down(sandbox: Sandbox, options: argparse.Namespace) -> int:
    if not sandbox.exists:
        print(f"nothing to do: there is no sandbox in {sandbox.home.root}")
        return 0
    with _at_work(sandbox, "down"):
        if not options.no_destroy:
            _destroy(sandbox)
        sandbox.remove()
    print(f"removed {sandbox.home.root}; the builds stay in {sandbox.cache.root}")
    return 0


def _destroy(sandbox: Sandbox) -> None:
    """The engine destroys what the stack made; anything else disappears with the home."""
    if not sandbox.stack.has_resources():
        return
    try:
        cloud = sandbox.running()
    except SandboxError as error:
        print(f"the stack is removed with the sandbox, not destroyed: {error}", flush=True)
        return
    print("pulumi destroy", flush=True)
    if sandbox.stack.run("destroy", "--yes", "--skip-preview", cloud=cloud) != 0:
        print("the engine could not destroy the stack; it is removed with the sandbox", flush=True)
