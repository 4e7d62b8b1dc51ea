"""Builds one tool from its Go module into the cache: complete or absent, resumable, one builder at a time.

Owns go.mod, the compiler run, the progress line and the move into place. `choose` decides which tools to build.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.diagnosis import ToolchainError, explain
from sandbox.toolchain.go import Go, find_go
from sandbox.toolchain.tools import GoProgram

# Measured: 2.9 GB compiler cache, 1.9 GB modules, 0.4 GB of results; the rest is reserve.
NEEDED_FREE_BYTES = 6_000_000_000
_HEARTBEAT_SECONDS = 30


@contextlib.contextmanager
def exclusive(cache: Cache) -> Iterator[None]:
    """One builder in this cache at a time; a second one says that it waits. The lock ends with the process."""
    cache.root.mkdir(parents=True, exist_ok=True)
    with (cache.root / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waiting for another build in {cache.root} (process {lock.read().strip() or 'unknown'})", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def workshop(cache: Cache, needed_bytes: int | None = None) -> Iterator[Callable[[], Go]]:
    """For compiling or fetching: holds the cache exclusively, with enough disk space; yields a function that finds Go.

    Check again what is missing: another builder may have made it meanwhile. After a failure everything is kept, so that
    the next build continues from there. Raises ToolchainError.
    """
    with exclusive(cache):
        _require_free_space(cache, NEEDED_FREE_BYTES if needed_bytes is None else needed_bytes)
        cache.logs.mkdir(parents=True, exist_ok=True)
        yield functools.cache(lambda: find_go(cache, cache.logs / "go.log"))
        # Gigabytes that only a further build would read.
        shutil.rmtree(cache.work, ignore_errors=True)


def _require_free_space(cache: Cache, needed_bytes: int) -> None:
    """Refuse at once what would fail after minutes. Raises ToolchainError."""
    free = shutil.disk_usage(cache.root).free
    # An interrupted build has left part of it.
    present = sum(file.stat().st_size for file in cache.work.rglob("*") if file.is_file()) if cache.work.exists() else 0
    if free + present < needed_bytes:
        raise ToolchainError(
            f"a first build needs {needed_bytes / 1e9:.0f} GB at {cache.root}; {free / 1e9:.1f} GB are free.\n"
            "  remedy: free some space, or set SANDBOX_CACHE to a directory on a larger disk"
        )


def build(tool: GoProgram, cache: Cache, go: Go, *, position: int, total: int) -> Path:
    """Build the tool and return the program's path. Raises ToolchainError."""
    log = cache.logs / f"{tool.directory}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    workspace = cache.work / tool.workspace
    final = cache.tools / tool.directory
    staging = cache.tools / f"{tool.directory}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    started = time.monotonic()
    with log.open("wb") as output:
        environment = go.environment
        if tool.sources is not None:
            # Compiled in place, with exactly the versions of its go.mod and go.sum.
            workspace = tool.sources
            flags = environment.get("GOFLAGS", "").replace("-mod=mod", "-mod=readonly")
            environment = {**environment, "GOFLAGS": flags}
        else:
            workspace.mkdir(parents=True, exist_ok=True)
            try:
                write_go_mod(tool, workspace, go, output.fileno())
            except subprocess.CalledProcessError:
                raise explain(f"build {tool.title} {tool.version}", log) from None
        linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in tool.linker_variables)])
        command = [str(go.command), "build", "-trimpath", "-ldflags", linker, "-o", str(staging / tool.name)]
        if tool.build_tags:
            command += ["-tags", ",".join(tool.build_tags)]
        command.append(tool.package)
        line = f"[{position}/{total}] building {tool.title} {tool.version}"
        code = _run_with_progress(command, workspace, environment, output.fileno(), line, tool.expected_seconds)
    if code != 0:
        shutil.rmtree(staging, ignore_errors=True)
        raise explain(f"build {tool.title} {tool.version}", log)
    seconds = round(time.monotonic() - started)
    record = {"name": tool.name, "version": tool.version, "go": go.version, "seconds": seconds}
    (staging / "build.json").write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    staging.rename(final)
    return final / tool.name


def write_go_mod(tool: GoProgram, workspace: Path, go: Go, output: int) -> None:
    """Write a module of our own that requires the tool's, so that dependencies have the versions its authors chose."""
    lines = [f"module local/{tool.workspace}", "", "go 1.26.0", "", f"require {tool.module} v{tool.version}"]
    if tool.replacements:
        lines += ["", *(f"replace {replacement}" for replacement in tool.replacements)]
    if tool.module == "k8s.io/kubernetes":
        # Kubernetes' go.mod requires its staging modules as v0.0.0 and replaces them locally, which has no effect here.
        staging_version = "v0." + tool.version.partition(".")[2]
        lines += ["", "godebug default=go1.26", ""]
        lines += [f"replace {path} => {path} {staging_version}" for path in _staging_modules(tool, go, output)]
    text = "\n".join(lines) + "\n"
    target = workspace / "go.mod"
    # Go adds indirect requirements to the file; our own text is kept beside it, to see whether it still applies.
    wanted = workspace / "wanted.mod"
    if not target.exists() or not wanted.exists() or wanted.read_text() != text:
        target.write_text(text)
        wanted.write_text(text)


def _staging_modules(tool: GoProgram, go: Go, output: int) -> list[str]:
    contents = _ask(go, output, "mod", "edit", "-json", str(download(tool, go, output)["GoMod"]), flags="")
    required = contents["Require"]
    assert isinstance(required, list)
    return [str(entry["Path"]) for entry in required if entry["Version"] == "v0.0.0"]


def download(tool: GoProgram, go: Go, output: int) -> dict[str, object]:
    """What Go reports about the tool's module after downloading it: `Dir`, `GoMod` and others. Raises
    CalledProcessError."""
    return _ask(go, output, "mod", "download", "-json", f"{tool.module}@v{tool.version}", flags="-modcacherw")


def required(sources: Path, module: str, go: Go, output: int) -> Path:
    """Where Go keeps that module at the version `sources` requires, after downloading it. Raises CalledProcessError."""
    flags = "-mod=readonly -modcacherw"
    _ask(go, output, "mod", "download", "-json", module, flags=flags, directory=sources)
    return Path(str(_ask(go, output, "list", "-m", "-json", module, flags=flags, directory=sources)["Dir"]))


def _ask(go: Go, output: int, *arguments: str, flags: str, directory: Path = Path("/")) -> dict[str, object]:
    environment = {**go.environment, "GOFLAGS": flags}
    done = subprocess.run(
        [go.command, *arguments], env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=output, check=False
    )
    if done.returncode != 0:
        # With `-json` the reason is in the answer.
        os.write(output, done.stdout)
        raise subprocess.CalledProcessError(done.returncode, arguments)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _run_with_progress(
    command: list[str], directory: Path, environment: dict[str, str], output: int, line: str, expected: int
) -> int:
    """Run to the end; on a terminal with a counting line, elsewhere an occasional one. Ctrl-C ends the command too."""
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    if not terminal:
        print(f"{line} (about {clock(expected)})", flush=True)
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        # The compiler's child processes end with it.
        start_new_session=True,
    ) as process:
        said = 0.0
        try:
            while True:
                try:
                    code = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    elapsed = time.monotonic() - started
                    if terminal:
                        print(f"\r{line}  {clock(elapsed)} of about {clock(expected)}\033[K", end="", flush=True)
                    elif elapsed - said >= _HEARTBEAT_SECONDS:
                        said = elapsed
                        print(f"{line}  {clock(elapsed)} of about {clock(expected)}", flush=True)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
    took = clock(time.monotonic() - started)
    print(
        ("\r" if terminal else "")
        + f"{line}  {'done' if code == 0 else 'failed'} in {took}"
        + ("\033[K" if terminal else "")
    )
    return code


def clock(seconds: float) -> str:
    """Minutes and seconds, as `4:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
