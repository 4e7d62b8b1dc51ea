"""The engine's `LanguageRuntime` for Python: finds a program's plugins, runs it, installs its dependencies.

Owns the gRPC service and the processes it starts; `interpreter.py` chooses the interpreter, and `program.py` runs the
program in a process of the program's own environment.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import empty_pb2, json_format

from sandbox.plugins.language import VERSION
from sandbox.plugins.language.interpreter import Interpreter, OptionError, resolve_interpreter
from sandbox.plugins.language.packages import RequiredPackage, required_packages
from sandbox.plugins.protocol_messages import language_pb2, language_pb2_grpc, plugin_pb2

PROGRAM_RUNNER: Final = Path(__file__).with_name("program.py")
MESSAGE_ALREADY_SHOWN: Final = 32
ABOUT_SCRIPT: Final = "import json, platform, sys; print(json.dumps([sys.executable, platform.python_version()]))"

Response = TypeVar("Response")


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runtime prompts and templates answer `Unimplemented`, which the engine takes to mean "none"."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        packages = self._answer(context, lambda: required_packages(_interpreter(request.info)))
        return language_pb2.GetRequiredPackagesResponse(packages=[_package_message(package) for package in packages])

    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        packages = self._answer(context, lambda: required_packages(_interpreter(request.info)))
        return language_pb2.GetRequiredPluginsResponse(
            plugins=[
                plugin_pb2.PluginDependency(
                    name=package.name, version=package.version, kind="resource", server=package.server
                )
                for package in packages
            ]
        )

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.attach_debugger:
            return language_pb2.RunResponse(error="the stand-in for the Python language host attaches no debugger")
        interpreter = self._answer(context, lambda: _interpreter(request.info))
        if interpreter.type_checker is not None:
            failure = self._type_check(interpreter, Path(request.info.program_directory), context)
            if failure is not None:
                return language_pb2.RunResponse(error=failure)
        environment = interpreter.environment()
        environment["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        environment["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        command = [str(interpreter.python), str(PROGRAM_RUNNER), *self._program_arguments(request)]
        code = self._run_process(command, context, env=environment)
        if code == 0:
            return language_pb2.RunResponse()
        if code == MESSAGE_ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}")

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        program = Path(request.info.program_directory)
        try:
            interpreter = _interpreter(request.info)
        except OptionError as missing:
            given = json_format.MessageToDict(request.info.options).get("virtualenv")
            if not given:
                context.abort(grpc.StatusCode.UNKNOWN, str(missing))
            directory = Path(request.info.root_directory) / str(given)
            yield from self._stream_installation([sys.executable, "-m", "venv", str(directory)], program, context)
            interpreter = _interpreter(request.info)
        if (program / "requirements.txt").is_file():
            command = [str(interpreter.python), "-m", "pip", "install", "-r", "requirements.txt"]
            yield from self._stream_installation(command, program, context)

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        interpreter = self._answer(context, lambda: _interpreter(request.info))
        executable, version = json.loads(_output(interpreter, "-c", ABOUT_SCRIPT))
        return language_pb2.AboutResponse(executable=executable, version=version)

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        interpreter = self._answer(context, lambda: _interpreter(request.info))
        arguments = ["-m", "pip", "list", "--format", "json"]
        if not request.transitiveDependencies:
            arguments.append("--not-required")
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=entry["name"], version=entry["version"])
                for entry in json.loads(_output(interpreter, *arguments))
            ]
        )

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Runs a policy pack with the SDK's own runner, any other plugin through its directory's `__main__.py`."""
        interpreter = self._answer(context, lambda: _interpreter(request.info, default_environment="venv"))
        environment = interpreter.environment()
        environment.update(entry.split("=", 1) for entry in request.env)
        if request.kind == "analyzer":
            command = ["-u", "-m", "pulumi.policy", *request.args, request.info.program_directory]
        else:
            command = [request.info.program_directory, *request.args]
        process = subprocess.Popen(
            [str(interpreter.python), *command],
            cwd=request.pwd or None,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with self._tracked(process, context):
            for stream, chunk in _chunks(process):
                response = language_pb2.RunPluginResponse()
                setattr(response, stream, chunk)
                yield response
            yield language_pb2.RunPluginResponse(exitcode=process.wait())

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        # The engine has already closed the program's own connections; a running program ends by itself.
        return empty_pb2.Empty()

    def GenerateProject(self, request: Any, context: grpc.ServicerContext) -> Any:
        _generates_no_code(context)

    def GenerateProgram(self, request: Any, context: grpc.ServicerContext) -> Any:
        _generates_no_code(context)

    def GeneratePackage(self, request: Any, context: grpc.ServicerContext) -> Any:
        _generates_no_code(context)

    def Pack(self, request: Any, context: grpc.ServicerContext) -> Any:
        _generates_no_code(context)

    def Link(self, request: Any, context: grpc.ServicerContext) -> Any:
        _generates_no_code(context)

    def kill_processes(self) -> None:
        """Kill every program that still runs; called when the engine is gone."""
        with self._lock:
            running = list(self._processes)
        for process in running:
            process.kill()

    def _program_arguments(self, request: Any) -> list[str]:
        given = {
            "monitor": request.monitor_address,
            "engine": self._engine_address,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        arguments = [part for name, value in given.items() if value for part in (f"--{name}", value)]
        if request.dryRun:
            arguments.append("--dry_run")
        return [*arguments, request.info.entry_point or ".", *request.args]

    def _type_check(self, interpreter: Interpreter, program: Path, context: grpc.ServicerContext) -> str | None:
        command = [str(interpreter.python), "-m", str(interpreter.type_checker)]
        if interpreter.type_checker == "mypy" and interpreter.virtual_environment is not None:
            command += ["--exclude", os.path.relpath(interpreter.virtual_environment, program)]
        code = self._run_process([*command, str(program)], context, env=interpreter.environment(), cwd=program)
        return f"{interpreter.type_checker} failed: exit status {code}" if code else None

    def _run_process(
        self, command: Sequence[str], context: grpc.ServicerContext, *, env: dict[str, str], cwd: Path | None = None
    ) -> int:
        """Run with this process's own output, which the engine shows; returns the exit code."""
        process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL)
        with self._tracked(process, context):
            return process.wait()

    def _stream_installation(
        self, command: Sequence[str], directory: Path, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with self._tracked(process, context):
            for stream, chunk in _chunks(process):
                yield language_pb2.InstallDependenciesResponse(**{stream: chunk})
            if process.wait() != 0:
                context.abort(grpc.StatusCode.UNKNOWN, f"`{' '.join(command)}` exited with {process.returncode}")

    def _tracked(self, process: subprocess.Popen[bytes], context: grpc.ServicerContext) -> _Tracked:
        return _Tracked(process, context, self._processes, self._lock)

    def _answer(self, context: grpc.ServicerContext, operation: Callable[[], Response]) -> Response:
        try:
            return operation()
        except OptionError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        raise AssertionError("abort always raises")


class _Tracked:
    """A child process that dies when its call is cancelled (an interrupted `up`) or when the engine does."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        context: grpc.ServicerContext,
        processes: set[subprocess.Popen[bytes]],
        lock: threading.Lock,
    ) -> None:
        self._process = process
        self._processes = processes
        self._lock = lock
        with lock:
            processes.add(process)
        if not context.add_callback(process.kill):
            process.kill()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._processes.discard(self._process)


def _interpreter(info: Any, default_environment: str | None = None) -> Interpreter:
    options = json_format.MessageToDict(info.options)
    if default_environment is not None and not options.get("virtualenv"):
        options["virtualenv"] = default_environment
    return resolve_interpreter(Path(info.root_directory), Path(info.program_directory), options)


def _package_message(package: RequiredPackage) -> Any:
    parameterization = None
    if package.parameterization is not None:
        parameterization = json_format.ParseDict(
            package.parameterization, plugin_pb2.PackageParameterization(), ignore_unknown_fields=True
        )
    return plugin_pb2.PackageDependency(
        name=package.name,
        version=package.version,
        kind="resource",
        server=package.server,
        parameterization=parameterization,
    )


def _output(interpreter: Interpreter, *arguments: str) -> str:
    finished = subprocess.run(
        [str(interpreter.python), *arguments], capture_output=True, text=True, check=True, env=interpreter.environment()
    )
    return finished.stdout


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """What the process writes, as it arrives, until both its streams are closed."""
    with selectors.DefaultSelector() as selector:
        for name in ("stdout", "stderr"):
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in selector.select():
                chunk = os.read(key.fd, 65536)
                if chunk:
                    yield key.data, chunk
                else:
                    selector.unregister(key.fileobj)


def _generates_no_code(context: grpc.ServicerContext) -> None:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        "the stand-in for the Python language host generates no code and packs no SDK; install the official Pulumi CLI",
    )
