"""Serves a `ResourceProvider` to the Pulumi engine over gRPC, and ends when the engine does.

Owns the translation between wire and Python; knows nothing of any one plugin.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2

from sandbox.plugins.faults import Faults
from sandbox.plugins.protocol import (
    CheckFailure,
    CheckResult,
    DiffResult,
    InitializationFailed,
    ResourceError,
    ResourceProvider,
    Severity,
)
from sandbox.plugins.protocol_messages import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)
from sandbox.plugins.values import Properties, UnsupportedValue, decode, encode

# The engine's own limit (sdk/go/common/util/rpcutil): large Helm values and custom resources exceed gRPC's 4 MB.
MAXIMUM_MESSAGE_BYTES: Final = 400 * 1024 * 1024
CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
]
# Operations block (on pods, on databases), so there are as many threads as the engine may have operations under way.
OPERATIONS_AT_ONCE: Final = 64
ENGINE_CHECK_SECONDS: Final = 1.0

# Keys that the engine itself keeps in a provider resource; a plugin neither checks nor reads them.
ENGINE_KEYS: Final = frozenset({"version", "pluginDownloadURL", "pluginChecksums", "__internal"})

# Names a directory with the official schemas, `<plugin>.json`: no stand-in has its own.
SCHEMAS_VARIABLE: Final = "SANDBOX_PLUGIN_SCHEMAS"

Response = TypeVar("Response")

_KINDS: Final = {
    "add": provider_pb2.PropertyDiff.ADD,
    "add-replace": provider_pb2.PropertyDiff.ADD_REPLACE,
    "delete": provider_pb2.PropertyDiff.DELETE,
    "delete-replace": provider_pb2.PropertyDiff.DELETE_REPLACE,
    "update": provider_pb2.PropertyDiff.UPDATE,
    "update-replace": provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class EngineLog:
    """Sends messages to the engine, which shows them beside the resource; to stderr until the engine's address is
    known."""

    def __init__(self) -> None:
        self._stub: Any = None

    def connect(self, address: str) -> None:
        if address:
            channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
            self._stub = engine_pb2_grpc.EngineStub(channel)

    def __call__(self, severity: Severity, message: str, urn: str = "", status: bool = False) -> None:
        if self._stub is None:
            print(f"{severity}: {message}", file=sys.stderr, flush=True)
            return
        request = engine_pb2.LogRequest(
            severity=engine_pb2.LogSeverity.Value(severity.upper()), message=message, urn=urn, ephemeral=status
        )
        try:
            self._stub.Log(request)
        except grpc.RpcError:
            print(f"{severity}: {message}", file=sys.stderr, flush=True)


class ProviderService(provider_pb2_grpc.ResourceProviderServicer):
    """Methods missing here (components, calls, parameters, mappings) answer `Unimplemented` through the base class."""

    def __init__(self, provider: ResourceProvider, log: EngineLog, faults: Faults | None = None) -> None:
        self._provider = provider
        self._log = log
        self._faults = faults or Faults(None)

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._log.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_autonaming_configuration=False
        )

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._log.connect(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        # Requested by `pulumi package` and by YAML programs; a Python program brings its SDK.
        schema = Path(os.environ.get(SCHEMAS_VARIABLE, os.devnull)) / f"{self._provider.name}.json"
        if not schema.is_file():
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"the stand-in for {self._provider.name} has no schema; install the official plugin",
            )
        return provider_pb2.GetSchemaResponse(schema=schema.read_text())

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        def check() -> Any:
            given = decode(request.news)
            result = self._provider.check_config(
                request.urn, _without_engine_keys(decode(request.olds)), _without_engine_keys(given)
            )
            kept = {key: value for key, value in given.items() if key in ENGINE_KEYS}
            return _check_response(CheckResult({**result.inputs, **kept}, result.failures))

        return self._answer(context, check)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer(
            context,
            lambda: _diff_response(
                self._provider.diff_config(
                    request.urn,
                    _without_engine_keys(decode(request.old_inputs)),
                    _without_engine_keys(decode(request.news)),
                )
            ),
        )

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        def configure() -> Any:
            self._provider.configure(_without_engine_keys(decode(request.args)))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
            )

        return self._answer(context, configure)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer(
            context,
            lambda: _check_response(
                self._provider.check(
                    request.urn, _type(request), decode(request.olds), decode(request.news), request.randomSeed
                )
            ),
        )

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer(
            context,
            lambda: _diff_response(
                self._provider.diff(
                    request.urn,
                    _type(request),
                    request.id,
                    decode(request.old_inputs),
                    decode(request.olds),
                    decode(request.news),
                    list(request.ignoreChanges),
                )
            ),
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def create() -> Any:
            id_, outputs = self._operate(
                request,
                "create",
                lambda: self._provider.create(
                    request.urn, _type(request), decode(request.properties), request.timeout, request.preview
                ),
            )
            return provider_pb2.CreateResponse(id="" if request.preview else id_, properties=encode(outputs))

        return self._answer(context, create)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def read() -> Any:
            found = self._operate(
                request,
                "read",
                lambda: self._provider.read(
                    request.urn, _type(request), request.id, decode(request.inputs), decode(request.properties)
                ),
            )
            if found is None:
                return provider_pb2.ReadResponse(id="")
            id_, inputs, outputs = found
            return provider_pb2.ReadResponse(id=id_, inputs=encode(inputs), properties=encode(outputs))

        return self._answer(context, read)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def update() -> Any:
            outputs = self._operate(
                request,
                "update",
                lambda: self._provider.update(
                    request.urn,
                    _type(request),
                    request.id,
                    decode(request.old_inputs),
                    decode(request.olds),
                    decode(request.news),
                    request.timeout,
                    request.preview,
                    list(request.ignoreChanges),
                ),
            )
            return provider_pb2.UpdateResponse(properties=encode(outputs))

        return self._answer(context, update)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def delete() -> Any:
            self._operate(
                request,
                "delete",
                lambda: self._provider.delete(
                    request.urn,
                    _type(request),
                    request.id,
                    decode(request.old_inputs),
                    decode(request.properties),
                    request.timeout,
                ),
            )
            return empty_pb2.Empty()

        return self._answer(context, delete)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def invoke() -> Any:
            result, failures = self._provider.invoke(request.tok, decode(request.args))
            # `return` is a Python keyword, so the field can only be passed by name in a mapping.
            return provider_pb2.InvokeResponse(**{"return": encode(result)}, failures=_failures(failures))

        return self._answer(context, invoke)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._provider.cancel()
        return empty_pb2.Empty()

    def _operate(self, request: Any, name: str, operation: Callable[[], Response]) -> Response:
        """Runs an operation that reads or changes the world; tests inject faults here, but not into previews."""
        if getattr(request, "preview", False):
            return operation()
        return self._faults.around(request.urn, _type(request), name, operation)

    def _answer(self, context: grpc.ServicerContext, operation: Callable[[], Response]) -> Response:
        try:
            return operation()
        except InitializationFailed as failure:
            _abort_with_partial_state(context, failure)
        except (ResourceError, UnsupportedValue) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            traceback.print_exc()
            context.abort(
                grpc.StatusCode.INTERNAL,
                f"the stand-in for {self._provider.name} failed: {type(error).__name__}: {error}",
            )
        raise AssertionError("abort always raises")


def _without_engine_keys(properties: Properties) -> Properties:
    return {key: value for key, value in properties.items() if key not in ENGINE_KEYS}


def _type(request: Any) -> str:
    """The resource's type. Older engines send it only within the URN `urn:pulumi:stack::project::parent$type::name`."""
    return str(request.type) or str(request.urn).split("::")[2].split("$")[-1]


def _failures(failures: list[CheckFailure]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=failure.property, reason=failure.reason) for failure in failures]


def _check_response(result: CheckResult) -> Any:
    return provider_pb2.CheckResponse(inputs=encode(result.inputs), failures=_failures(result.failures))


def _diff_response(result: DiffResult) -> Any:
    changes = provider_pb2.DiffResponse.DIFF_SOME if result.changes else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=changes,
        replaces=result.replaces,
        deleteBeforeReplace=result.delete_before_replace,
        diffs=result.diffs,
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=_KINDS[diff.kind], inputDiff=diff.input_diff)
            for path, diff in result.detailed.items()
        },
        hasDetailedDiff=bool(result.detailed),
    )


def _abort_with_partial_state(context: grpc.ServicerContext, failure: InitializationFailed) -> NoReturn:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=failure.id,
        properties=encode(failure.outputs),
        inputs=encode(failure.inputs),
        reasons=failure.reasons,
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(failure))
    raise AssertionError("abort always raises")


def start_server(register: Callable[[grpc.Server], None]) -> tuple[grpc.Server, int]:
    """A started server on a free loopback port, with the engine's message limits."""
    server = grpc.server(ThreadPoolExecutor(OPERATIONS_AT_ONCE), options=CHANNEL_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def run_until_the_engine_ends(server: grpc.Server, port: int) -> None:
    """Announces the port as the engine expects it (first line of stdout) and returns when the engine is gone.

    The engine kills its plugins when it ends. If the engine itself is killed, its children get another parent.
    """
    engine = os.getppid()
    # A queue because `put` may be called from a signal handler; an Event's `set` could deadlock there.
    stop: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.put(received))
    print(port, flush=True)
    while os.getppid() == engine:
        try:
            stop.get(timeout=ENGINE_CHECK_SECONDS)
            break
        except queue.Empty:
            continue
    server.stop(grace=None)


def serve_until_the_engine_ends(
    register: Callable[[grpc.Server], None], at_end: Callable[[], None] = lambda: None
) -> NoReturn:
    """Serves, then exits at once even if operations are under way; `at_end` ends what would outlive the process."""
    # The launcher turned collection off. Objects loaded so far are permanent and need not be traversed.
    gc.freeze()
    gc.enable()
    server, port = start_server(register)
    run_until_the_engine_ends(server, port)
    at_end()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads waiting for a pod or a database would keep the interpreter alive for as long as they wait.
    os._exit(0)


def serve(provider: ResourceProvider) -> NoReturn:
    """The main program of a resource plugin."""
    log = EngineLog()
    provider.log = log
    service = ProviderService(provider, log, Faults.from_environment())
    serve_until_the_engine_ends(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    )
