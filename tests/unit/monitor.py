"""A resource monitor that records what a program registers: the raw requests, with their secret envelopes and
dependencies.

The monitor answers as the engine would: inputs are returned unchanged, computed outputs contain the name of their
resource (so that a test can follow a value through the graph), and outputs that the real plugin marks as secret are
wrapped in a secret envelope.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pulumi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_SENTINEL
from pulumi.runtime.stack import run_in_stack

SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"

PROJECT = "teleport-access-graph"
STACK = "dev"


@functools.cache
def certificate_named(name: str) -> str:
    """PEM of an authority whose common name is `name`. The result is cached: one test run always sees the same
    certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 11, 19, tzinfo=datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


# Outputs that the official plugins compute, by type token. In a template, `{name}` stands for the resource's name; a
# function is called with that name. A leading `!` in a key marks a secret output.
COMPUTED_OUTPUTS: dict[str, dict[str, Any]] = {
    "random:index/randomPassword:RandomPassword": {"!result": "canary-password-{name}-0123456789abcdef0123456789"},
    "random:index/randomId:RandomId": {"hex": "0a1b2c3d", "b64Url": "Chs8PQ", "dec": "169552957"},
    "tls:index/privateKey:PrivateKey": {
        "!privateKeyPem": "-----BEGIN canary key {name}-----",
        "!privateKeyPemPkcs8": "-----BEGIN canary pkcs8 {name}-----",
        "!privateKeyOpenssh": "-----BEGIN canary openssh {name}-----",
        "publicKeyPem": "-----BEGIN PUBLIC KEY {name}-----",
    },
    "tls:index/certRequest:CertRequest": {"certRequestPem": "-----BEGIN CERTIFICATE REQUEST {name}-----"},
    "tls:index/selfSignedCert:SelfSignedCert": {
        "certPem": certificate_named,
        "validityEndTime": "2036-11-19T00:00:00.571651145Z",
        "readyForRenewal": False,
    },
    "tls:index/locallySignedCert:LocallySignedCert": {
        "certPem": certificate_named,
        "validityEndTime": "2027-12-24T00:00:00.57165Z",
        "readyForRenewal": False,
    },
    "kubernetes:batch/v1:Job": {"metadata": {"uid": "{name}-uid"}},
    "kubernetes:cert-manager.io/v1:Certificate": {"status": {"notAfter": "2027-02-22T00:00:00Z", "revision": 1}},
    "kubernetes:helm.sh/v3:Release": {"status": {"status": "deployed", "revision": 1}, "version": "1.30.2"},
    "aws:kms/key:Key": {"arn": "arn:aws:kms:us-east-1:123456789012:key/{name}", "keyId": "{name}"},
    "aws:iam/role:Role": {"arn": "arn:aws:iam::123456789012:role/{name}", "name": "{name}-0123456789"},
    "aws:rds/subnetGroup:SubnetGroup": {"name": "{name}-0123456789"},
    "aws:rds/parameterGroup:ParameterGroup": {"name": "{name}-0123456789"},
    "aws:cloudwatch/logGroup:LogGroup": {"arn": "arn:aws:logs:us-east-1:123456789012:log-group:{name}"},
    "aws:sns/topic:Topic": {"arn": "arn:aws:sns:us-east-1:123456789012:{name}"},
    "aws:rds/instance:Instance": {
        "address": "db.abcdefghijkl.us-east-1.rds.amazonaws.com",
        "endpoint": "db.abcdefghijkl.us-east-1.rds.amazonaws.com:5432",
        "arn": "arn:aws:rds:us-east-1:123456789012:db:{name}",
        "resourceId": "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "masterUserSecrets": [
            {
                "secretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds-{name}-AbCdEf",
                "secretStatus": "active",
                "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/database",
            }
        ],
    },
}


@dataclass(frozen=True)
class Secret:
    """A value that was sent in a secret envelope."""

    value: Any


@dataclass(frozen=True)
class Registration:
    """One resource as the program registered it."""

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    property_dependencies: dict[str, frozenset[str]]
    protect: bool
    retain_on_delete: bool
    deleted_with: str
    """URN of the resource whose deletion includes this one, so that the engine does not delete this one separately."""
    import_id: str
    provider: str
    additional_secret_outputs: frozenset[str]
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    timeouts: dict[str, str]
    """The longest time that the plugin waits, by operation; the plugin's default is ten minutes."""
    aliases: tuple[str, ...]
    """Former URNs, in full."""

    def plain(self, path: str) -> Any:
        """The input at a dotted `path`, without secret envelopes."""
        value: Any = unsealed(self.inputs)
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value


@dataclass
class Recording:
    """Everything one run of a program registered."""

    registrations: list[Registration] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    component_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    """Full names of the stacks whose outputs the program read."""
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Every message, whatever its severity."""

    def __getitem__(self, name: str) -> Registration:
        found = [registration for registration in self.registrations if registration.name == name]
        if len(found) != 1:
            names = ", ".join(sorted(registration.name for registration in self.registrations))
            raise KeyError(f"{len(found)} resources are named {name!r}; there are {names}")
        return found[0]

    def in_order(self) -> list[Registration]:
        """All registrations sorted by URN, because independent resources register in no fixed order."""
        return sorted(self.registrations, key=lambda registration: registration.urn)

    def of_type(self, type_: str) -> list[Registration]:
        return [registration for registration in self.registrations if registration.type == type_]

    def custom(self) -> list[Registration]:
        """Resources of plugins: no providers, no components."""
        return [item for item in self.registrations if item.custom and not item.type.startswith("pulumi:providers:")]

    def edges(self) -> dict[str, set[str]]:
        """Direct dependencies among the resources of plugins, by name."""
        names = {registration.urn: registration.name for registration in self.custom()}
        return {
            registration.name: {names[urn] for urn in registration.dependencies if urn in names}
            for registration in self.custom()
        }

    def ancestors(self, name: str) -> set[str]:
        """Names of all resources that must exist before `name`."""
        edges = self.edges()
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for dependency in edges[waiting.pop()]:
                if dependency not in found:
                    found.add(dependency)
                    waiting.append(dependency)
        return found


class RecordingMonitor(mocks.MockMonitor):
    """Answers as the engine does, and keeps the requests."""

    def __init__(
        self,
        recording: Recording,
        preview: bool,
        computed: Mapping[str, Mapping[str, Any]],
        stacks: Mapping[str, Mapping[str, Any]],
        failed: Collection[str] = (),
        never_made: Collection[str] = (),
    ) -> None:
        super().__init__(_NoMocks())
        self.recording = recording
        self.preview = preview
        self.computed = computed
        self.stacks = stacks
        self.failed = failed
        self.never_made = never_made
        self._not_made: set[str] = set()

    def ReadResource(self, request: Any) -> Any:
        """The outputs of a stack, which the engine knows in a preview too. A stack that is not in `stacks` has none,
        like a stack before its first `up`."""
        if request.type != "pulumi:pulumi:StackReference":
            raise AssertionError(f"the program reads {request.type}: a preview must not look anything up")
        urn = self.make_urn(request.parent, request.type, request.name)
        self.recording.references.append(request.id)
        outputs = self.stacks.get(request.id, {})
        state = struct_pb2.Struct()
        state.update(
            {
                "name": request.id,
                "outputs": {key: _on_the_wire(value) for key, value in outputs.items()},
                "secretOutputNames": [key for key, value in outputs.items() if isinstance(value, Secret)],
            }
        )
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, request.id, {})
        return resource_pb2.ReadResourceResponse(urn=urn, properties=state)

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        self.recording.registrations.append(
            Registration(
                urn=urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                custom=bool(request.custom),
                inputs=decoded(json_format.MessageToDict(request.object)),
                dependencies=frozenset(request.dependencies),
                property_dependencies={
                    key: frozenset(value.urns) for key, value in request.propertyDependencies.items()
                },
                protect=bool(request.protect),
                retain_on_delete=bool(request.retainOnDelete),
                deleted_with=request.deletedWith,
                import_id=request.importId,
                provider=request.provider,
                additional_secret_outputs=frozenset(request.additionalSecretOutputs),
                delete_before_replace=bool(request.deleteBeforeReplace),
                ignore_changes=tuple(request.ignoreChanges),
                replace_on_changes=tuple(request.replaceOnChanges),
                timeouts=json_format.MessageToDict(request.customTimeouts),
                aliases=tuple(request.aliasURNs)
                + tuple(
                    # The program gives aliases by their parts only to rename a resource under the same parent.
                    alias.urn or self.make_urn(request.parent, request.type, alias.spec.name)
                    for alias in request.aliases
                ),
            )
        )
        if request.name in self.failed or self._not_made.intersection(request.dependencies):
            # Reached with `--continue-on-error`. For a resource that depends on a failed one, engines later than 3.250
            # answer as in a preview: what is not computed yet is unknown.
            self._not_made.add(urn)
            failed = request.name in self.failed
            return resource_pb2.RegisterResourceResponse(
                urn=urn,
                id=f"{request.name}-id",
                object=request.object,
                result=resource_pb2.Result.FAIL if failed else resource_pb2.Result.SUCCESS,
                unknown=not failed,
            )
        if request.name in self.never_made:
            # Engine 3.250 gives this answer when `--target` leaves out a resource that does not exist yet.
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        if request.custom:
            # The program's inputs stay as they are unless the test overrides one (a key with `=`); the plugin adds the
            # rest.
            for key, value in self._computed(request).items():
                if key.startswith("="):
                    state[key[1:]] = value
                elif key == "metadata":
                    # The API server adds fields to the metadata that the program gave.
                    state[key].update(value)
                elif key not in state.fields or key == "status":
                    state[key] = value
        for key in request.additionalSecretOutputs:
            # The engine itself seals these outputs, whether or not the plugin calls them secret.
            if key in state.fields:
                value = json_format.MessageToDict(state.fields[key])
                state[key] = {SECRET_SIGNATURE: SECRET_VALUE, "value": value}
        identifier = "" if not request.custom else UNKNOWN_SENTINEL if self.preview else f"{request.name}-id"
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, identifier, {})
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identifier, object=state)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn in self._not_made:
            raise AssertionError(f"the engine cannot complete {request.urn}, whose registration it passed over")
        outputs = decoded(json_format.MessageToDict(request.outputs))
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.recording.outputs = outputs
        else:
            self.recording.component_outputs[request.urn.rsplit("::", 1)[1]] = outputs
        return super().RegisterResourceOutputs(request)

    def _computed(self, request: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for marked, template in self.computed.get(request.type, {}).items():
            key = marked.lstrip("!")
            value = _unknown(template) if self.preview else _named(template, request.name)
            outputs[key] = {SECRET_SIGNATURE: SECRET_VALUE, "value": value} if marked.startswith("!") else value
        return outputs


class RecordingEngine(mocks.MockEngine):
    """Keeps the messages that the program shows to its user."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(None)
        self._recording = recording

    def Log(self, request: Any) -> Any:
        self._recording.said.append(request.message)
        if request.severity == engine_pb2.WARNING:
            self._recording.warnings.append(request.message)
        elif request.severity == engine_pb2.INFO:
            self._recording.notices.append(request.message)
        return empty_pb2.Empty()


class _NoMocks(mocks.Mocks):
    """A preview must not look anything up in the live world, so every invocation is an error."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"the program invokes {args.token}: a preview must not look anything up")

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise AssertionError("answered by RecordingMonitor")


def record(
    program: Callable[[], None],
    *,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    preview: bool = False,
    project: str = PROJECT,
    stack: str = STACK,
    computed: Mapping[str, Mapping[str, Any]] = COMPUTED_OUTPUTS,
    stacks: Mapping[str, Mapping[str, Any]] | None = None,
    recording: Recording | None = None,
    failed: Collection[str] = (),
    never_made: Collection[str] = (),
) -> Recording:
    """Run `program` as `pulumi up` would (or as a preview in which nothing exists yet) and return what it registered.

    `config` and `secrets` are keyed without the namespace; values that are not text are passed as JSON, as the engine
    does. `stacks` has the outputs of stacks by full name (`organization/project/stack`), this stack's own earlier
    outputs included; secret outputs are given as `Secret`. Pass an empty `recording` to see what a program registered
    before it failed. Resources named in `failed` fail and the run continues (`--continue-on-error`). Resources named in
    `never_made` do not exist, and the run leaves them out (`--target`).
    """
    begun = recording is not None
    recording = Recording() if recording is None else recording
    monitor = RecordingMonitor(recording, preview, computed, stacks or {}, failed, never_made)
    # Does what the SDK's `set_mocks` does, except registering a root stack: the program's own run registers one.
    settings.configure(
        mocks.MockSettings(
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures),
            engine=RecordingEngine(recording),
            project=project,
            stack=stack,
            dry_run=preview,
            organization="organization",
            callbacks=None,
        )
    )
    settings.set_root_resource(None)  # type: ignore[arg-type]
    # Work that an earlier test left waiting belongs to an event loop that will never run again.
    settings.SETTINGS.rpc_manager.clear()
    settings.SETTINGS.outputs.clear()
    everything = {**(config or {}), **(secrets or {})}
    pulumi.runtime.set_all_config(
        configuration_by_key(everything, project), [f"{project}:{key}" for key in secrets or {}]
    )
    with own_event_loop() as loop:
        try:
            # A program that waits forever must fail its test, not hang the test run.
            ended = loop.run_until_complete(asyncio.wait_for(_ended(program), timeout=300))
        finally:
            if begun and (left := asyncio.all_tasks(loop)):
                # A request that is in flight when the program fails may or may not reach the engine; here it always
                # does.
                loop.run_until_complete(asyncio.wait(left, timeout=10))
    if ended is not None:
        raise ended
    return recording


@contextmanager
def own_event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Make a new event loop the current one for the duration. The tasks that a program leaves waiting are cancelled
    with the loop; otherwise their errors would be printed at garbage collection, far from their test and even after the
    runner's closing lines."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=10))
        loop.close()
        # The SDK asks for a current loop when the next test starts.
        asyncio.set_event_loop(asyncio.new_event_loop())


async def _ended(program: Callable[[], None]) -> SystemExit | None:
    """Run the program and return the `SystemExit` by which it ended itself. Raised inside a task, `SystemExit` would
    stop the event loop, and nothing would finish the other tasks in it."""
    try:
        await run_in_stack(program)
    except SystemExit as ended:
        return ended
    return None


def configuration_by_key(config: Mapping[str, Any], project: str = PROJECT) -> dict[str, str]:
    """Configuration as the engine hands it to a program: full keys, and JSON for every value that is not text."""
    return {f"{project}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def decoded(value: Any) -> Any:
    """Convert the wire form to Python: envelopes become `Secret`, whole numbers become `int`."""
    if isinstance(value, dict):
        if value.get(SECRET_SIGNATURE) == SECRET_VALUE:
            return Secret(decoded(value["value"]))
        return {key: decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def unsealed(value: Any) -> Any:
    """`value` with every `Secret` replaced by what it holds."""
    if isinstance(value, Secret):
        return unsealed(value.value)
    if isinstance(value, dict):
        return {key: unsealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsealed(item) for item in value]
    return value


def leaves(value: Any, path: str = "", secret: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Every scalar in `value`, with its path and whether a secret envelope encloses it at any level."""
    if isinstance(value, Secret):
        yield from leaves(value.value, path, True)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key, secret)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]", secret)
    else:
        yield path, value, secret


def _on_the_wire(value: Any) -> Any:
    return {SECRET_SIGNATURE: SECRET_VALUE, "value": value.value} if isinstance(value, Secret) else value


def _unknown(template: Any) -> Any:
    """The template with every value unknown, as before the resource exists; the keys of a map stay known."""
    if isinstance(template, dict):
        return {key: _unknown(item) for key, item in template.items()}
    return UNKNOWN_SENTINEL


def _named(template: Any, name: str) -> Any:
    if callable(template):
        return template(name)
    if isinstance(template, str):
        return template.replace("{name}", name)
    if isinstance(template, dict):
        return {key: _named(item, name) for key, item in template.items()}
    if isinstance(template, list):
        return [_named(item, name) for item in template]
    return template
