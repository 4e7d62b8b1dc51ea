"""The life of a Kubernetes object or patch: check, diff, create, read, update, delete.

Owns the order of steps and how failures are reported; each step's rules are in its own module. Releases are in
`release.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.plugins.kubernetes import difference, field_managers, schema
from sandbox.plugins.kubernetes.checkpoint import (
    INITIAL_API_VERSION,
    annotate,
    prune,
    split,
    state,
    without_server_metadata,
)
from sandbox.plugins.kubernetes.cluster import Connected
from sandbox.plugins.kubernetes.connection import MERGE_PATCH, ApiError, ApiServer, Unreachable
from sandbox.plugins.kubernetes.custom import defined
from sandbox.plugins.kubernetes.force_new import force_new
from sandbox.plugins.kubernetes.inputs import (
    annotations_of,
    autonamed,
    generated_name,
    is_autonamed,
    is_named,
    metadata_of,
    name_of,
    namespace_of,
    normalise,
    object_id,
    parse_id,
    with_default_namespace,
    with_metadata,
)
from sandbox.plugins.kubernetes.readiness import job, readiness_of
from sandbox.plugins.kubernetes.schema import Kind
from sandbox.plugins.kubernetes.waiting import WAIT_FOR, NotReady, Waiter
from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, InitializationFailed, Log, ResourceError
from sandbox.plugins.values import Properties, contains_unknown, unwrap

REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
# Some parts of the API server may not see a new namespace at once.
CREATE_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
ALREADY_EXISTS: Final = """

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)
    to manage specific fields without owning the resource lifecycle.
  - Adopting a resource into Pulumi: use `pulumi import`. Note that
    protected resources (e.g. kube-system) cannot be deleted on destroy.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""

NOT_DEFINED: Final = (
    "creation of resource {id} failed because the Kubernetes API server reported that the apiVersion for this resource "
    'does not exist. Verify that any required CRDs have been created: no matches for kind "{name}" in version '
    '"{version}"'
)


class Objects:
    def __init__(self, connected: Connected, log: Log) -> None:
        self._connected = connected
        self._options = connected.options
        self._log = log

    def check(self, urn: str, kind: Kind, olds: Properties, news: Properties, seed: bytes) -> CheckResult:
        if kind.patch and not self._options.server_side_apply:
            raise ResourceError(
                "patch resources require Server-Side Apply mode, which is enabled using the "
                "`enableServerSideApply` Provider config"
            )
        given = unwrap(news)
        failures = [*_identity_failures(kind, given), *schema.check(kind, given), *_wait_failures(kind, given)]
        if failures:
            return CheckResult(news, failures)
        inputs = normalise(kind, given)
        if kind.patch and not is_named(inputs):
            raise ResourceError("patch resources require the `.metadata.name` field to be set")
        if not is_named(inputs):
            old = unwrap(olds)
            if not old:
                inputs = autonamed(inputs, generated_name(urn, seed))
            elif is_autonamed(old):
                inputs = autonamed(inputs, name_of(old))
        if metadata_of(inputs).get("generateName"):
            return CheckResult(
                news, [CheckFailure("metadata.generateName", "generateName is not supported in Server-Side Apply mode")]
            )
        inputs = with_default_namespace(kind, inputs, self._connected.default_namespace)
        return CheckResult(annotate(inputs, news))

    def diff(
        self, urn: str, kind: Kind, old_outputs: Properties, news: Properties, ignore: Sequence[str]
    ) -> DiffResult:
        old_inputs, live = split(old_outputs)
        new = normalise(kind, unwrap(news))
        pruned = prune(live, normalise(kind, old_inputs), kind.typed)
        if kind.namespaced:
            new = with_default_namespace(kind, new, "default")
            pruned = with_default_namespace(kind, pruned, "default")
        pruned = without_server_metadata({"apiVersion": kind.api_version, "kind": kind.name, **pruned})
        if name_of(new):
            pruned = with_metadata(pruned, name=name_of(live))
        patch = difference.merge_patch(pruned, new)
        options = self._options
        forcing = force_new(kind, new, options.config_map_mutable, options.secret_mutable)
        detailed = {
            path: change
            for path, change in difference.detail(patch, pruned, new, pruned, forcing).items()
            if not difference.ignored(path, ignore)
        }
        replaces = sorted(path for path, change in detailed.items() if change.kind.endswith("-replace"))
        if self._unready_to_replace(urn, kind, new, live):
            replaces.append(f'.metadata.annotations["{REPLACE_UNREADY}"]')
        same_place = name_of(new) == name_of(live) and namespace_of(new) == namespace_of(live)
        delete_first = bool(replaces) and is_named(new) and not is_autonamed(new) and same_place
        return DiffResult(bool(detailed or replaces), replaces, detailed, delete_first)

    def create(self, urn: str, kind: Kind, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        new = unwrap(inputs)
        if preview and not (kind.is_defined and self._can_preview(urn, new, creates_patch=kind.patch)):
            return "", inputs
        server = self._connected.reachable()
        kind = self._await_definition(server, kind, new)
        manager = field_managers.manager_name({}, new, self._options.server_side_apply)
        try:
            live = self._create(server, kind, new, manager, preview)
        except ApiError as error:
            # In a preview of a delete-before-replace the old object still exists; a forbidden dry run tells nothing.
            if preview and (error.already_exists or error.forbidden or error.namespace_missing):
                return "", inputs
            raise ResourceError(_create_failure(urn, error, manager)) from None
        except Unreachable as error:
            raise ResourceError(f"configured Kubernetes cluster is unreachable: {error}") from None
        if preview:
            live.pop("status", None)
            return "", state(new, live, inputs, kind.api_version, manager)
        try:
            live = self._waiter(server, kind, urn, timeout).until_ready(new, live)
        except NotReady as failure:
            message = (
                f'resource "{urn}" was successfully created, but the Kubernetes API server '
                f"reported that it failed to fully initialize or become live: {failure}"
            )
            outputs = state(new, failure.live, inputs, kind.api_version, manager)
            raise InitializationFailed(object_id(failure.live), outputs, {}, [message, *failure.reasons]) from None
        return object_id(live), state(new, live, inputs, kind.api_version, manager)

    def read(
        self, urn: str, kind: Kind, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        if self._connected.server is None:
            return self._read_unreachable(urn, id_, inputs, outputs)
        namespace, name = parse_id(id_)
        if not name:
            raise ResourceError(
                f"failed to read resource because of a failure to parse resource name from request ID: {id_}"
            )
        server = self._connected.reachable()
        if not kind.is_defined:
            return None  # deleting a definition deletes all objects of its kind
        try:
            live = server.get(kind, namespace or self._connected.default_namespace if kind.namespaced else "", name)
        except ApiError as error:
            if error.not_found:
                return None
            raise ResourceError(str(error)) from None
        old_inputs, _ = split(outputs)
        shape = normalise(kind, unwrap(inputs) or old_inputs)
        importing = not inputs and not outputs
        found = _importable(kind, live) if importing else prune(live, shape, kind.typed)
        manager = field_managers.manager_name(outputs, found, self._options.server_side_apply)
        version = str(unwrap(outputs).get(INITIAL_API_VERSION) or kind.api_version)
        marked = annotate(found, inputs)
        try:
            if not importing:
                self._waiter(server, kind, urn, 0).check_once(found, live)
        except NotReady as failure:
            reasons = [str(failure), *failure.reasons]
            raise InitializationFailed(id_, state(found, live, inputs, version, manager), marked, reasons) from None
        return id_, marked, state(found, live, inputs, version, manager)

    def update(
        self,
        urn: str,
        kind: Kind,
        old_outputs: Properties,
        news: Properties,
        timeout: float,
        preview: bool,
        ignore: Sequence[str],
    ) -> Properties:
        new = normalise(kind, unwrap(news))
        if preview and not (kind.is_defined and self._can_preview(urn, new, creates_patch=False)):
            return news
        server = self._connected.reachable()
        kind = self._await_definition(server, kind, new)
        old_inputs, old_live = split(old_outputs)
        before = field_managers.manager_name(unwrap(old_outputs), old_inputs, self._options.server_side_apply)
        manager = field_managers.manager_name(unwrap(old_outputs), new, self._options.server_side_apply)
        version = str(unwrap(old_outputs).get(INITIAL_API_VERSION) or kind.api_version)
        try:
            live = self._update(
                server, kind, prune(old_live, old_inputs, kind.typed), old_live, new, manager, preview, ignore
            )
            if not preview:
                live = self._waiter(server, kind, urn, timeout).until_ready(new, live)
                if before != manager:
                    field_managers.relinquish(server, kind, live, before)
        except Unreachable as error:
            raise ResourceError(f"configured Kubernetes cluster is unreachable: {error}") from None
        except (ApiError, NotReady) as failure:
            if preview and isinstance(failure, ApiError) and failure.forbidden:
                return news
            raise self._update_failure(server, kind, urn, old_live, failure, manager, (new, news, version)) from None
        return state(new, live, news, version, manager)

    def delete(self, urn: str, kind: Kind, id_: str, outputs: Properties, timeout: float) -> None:
        if self._connected.server is None:
            if self._options.delete_unreachable:
                self._log(
                    "warning", f"deleting the unreachable resource from the state: {self._connected.unreachable}", urn
                )
                return
            raise ResourceError(
                "configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this "
                "resource from Pulumi state by rerunning the operation with the "
                "PULUMI_K8S_DELETE_UNREACHABLE environment "
                f'variable set to "true" ({self._connected.unreachable})'
            )
        server = self._connected.server
        if not kind.is_defined:
            return
        old_inputs, live = split(outputs)
        namespace, name = parse_id(id_)
        try:
            if kind.patch:
                manager = field_managers.manager_name(unwrap(outputs), old_inputs, True)
                field_managers.relinquish(server, kind, live, manager)
                return
            propagation = str(annotations_of(old_inputs).get(PROPAGATION, "foreground")).capitalize()
            server.delete(kind, namespace, name, propagation)
            self._waiter(server, kind, urn, timeout).until_gone(old_inputs, namespace, name)
        except ApiError as error:
            if error.not_found and not kind.patch:
                return
            required = next(
                (c.get("field") for c in error.details.get("causes") or [] if c.get("reason") == "FieldValueRequired"),
                None,
            )
            if kind.patch and required:
                raise ResourceError(
                    "this Patch resource is currently managing a required field, so it can't be deleted directly. "
                    "Either set the `retainOnDelete` resource option, or transfer ownership of the field before "
                    f"deleting: {required}"
                ) from None
            raise ResourceError(str(error)) from None
        except Unreachable as error:
            raise ResourceError(f"configured Kubernetes cluster is unreachable: {error}") from None

    def _can_preview(self, urn: str, new: Mapping[str, Any], creates_patch: bool) -> bool:
        if self._connected.server is None:
            self._log(
                "warning",
                "configured Kubernetes cluster is unreachable, so this preview is made without it: "
                + self._connected.unreachable,
                urn,
            )
            return False
        return not contains_unknown(new) and not creates_patch and self._options.server_side_apply

    def _await_definition(self, server: ApiServer, kind: Kind, new: Mapping[str, Any]) -> Kind:
        """Waits for the definition of a custom kind: somebody, perhaps this very run, may be creating it right now."""
        for pause in (*CREATE_PAUSES_SECONDS, None):
            if kind.is_defined:
                return kind
            if pause is None or self._connected.cancelled.wait(pause):
                break
            kind = defined(kind, server)
        raise ResourceError(NOT_DEFINED.format(id=object_id(new), name=kind.name, version=kind.api_version))

    def _create(
        self, server: ApiServer, kind: Kind, new: dict[str, Any], manager: str, preview: bool
    ) -> dict[str, Any]:
        for pause in (*CREATE_PAUSES_SECONDS, None):
            try:
                if kind.patch or (self._options.upsert and self._options.server_side_apply):
                    force = field_managers.forces(new, None, preview, self._options.patch_force)
                    return server.apply(kind, namespace_of(new), name_of(new), new, manager, force, preview)
                return server.create(kind, namespace_of(new), new, field_managers.CREATOR, preview)
            except ApiError as error:
                if preview or not error.namespace_missing or pause is None or self._connected.cancelled.wait(pause):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _update(
        self,
        server: ApiServer,
        kind: Kind,
        old: dict[str, Any],
        old_live: dict[str, Any],
        new: dict[str, Any],
        manager: str,
        preview: bool,
        ignore: Sequence[str],
    ) -> dict[str, Any]:
        live = server.get(kind, namespace_of(old_live), name_of(old_live))
        if not self._options.server_side_apply:
            patch = difference.merge_patch(old, new)
            return server.patch(kind, namespace_of(live), name_of(live), patch, MERGE_PATCH, manager, preview)
        if not preview and not kind.patch:
            live = field_managers.take_over(server, kind, live, manager)
        wanted = field_managers.apply_ignored(new, live, ignore, manager) if ignore else new
        force = field_managers.forces(new, live, preview, self._options.patch_force)
        return server.apply(kind, namespace_of(live), name_of(live), wanted, manager, force, preview)

    def _update_failure(
        self,
        server: ApiServer,
        kind: Kind,
        urn: str,
        old_live: Mapping[str, Any],
        failure: ApiError | NotReady,
        manager: str,
        given: tuple[dict[str, Any], Properties, str],
    ) -> Exception:
        """The object stays, with its newest state and the reason: the engine retries the update next time."""
        new, news, version = given
        reasons: list[str] = []
        if isinstance(failure, NotReady):
            live, text, reasons = failure.live, str(failure), failure.reasons
        else:
            text = field_managers.explain_conflict(failure, manager) if failure.conflict else str(failure)
            try:
                live = server.get(kind, namespace_of(old_live), name_of(old_live))
            except ApiError as error:
                return ResourceError(f'update of resource "{urn}" failed: {text}\nunable to get cluster state: {error}')
        message = (
            f'the Kubernetes API server reported that "{object_id(live)}" failed to fully initialize '
            f"or become live: {text}"
        )
        return InitializationFailed(object_id(live), state(new, live, news, version, manager), {}, [message, *reasons])

    def _read_unreachable(
        self, urn: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        self._log("warning", f"configured Kubernetes cluster is unreachable: {self._connected.unreachable}", urn)
        if self._options.delete_unreachable:
            return None
        if self._options.skip_update_unreachable:
            return id_, inputs, outputs
        raise ResourceError(
            "failed to read resource state due to unreachable cluster. If the cluster was deleted, you can remove this "
            "resource from Pulumi state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment "
            'variable set to "true"'
        )

    def _unready_to_replace(self, urn: str, kind: Kind, new: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
        if annotations_of(new).get(REPLACE_UNREADY) != "true":
            return False
        if kind.key != "batch/v1/Job":
            self._log("info", "replaceUnready annotation is not supported for this resource", urn)
            return False
        if self._connected.server is None:
            self._log("warning", "Cluster is unreachable, skipping replaceUnready check", urn)
            return False
        try:
            current = self._connected.server.get(kind, namespace_of(live), name_of(live))
        except (ApiError, Unreachable):
            return False
        return not job(self._connected.server, current).ready

    def _waiter(self, server: ApiServer, kind: Kind, urn: str, timeout: float) -> Waiter:
        return Waiter(server, kind, urn, self._log, self._connected.cancelled, timeout)


def _identity_failures(kind: Kind, given: Mapping[str, Any]) -> list[CheckFailure]:
    return [
        CheckFailure(key, f"{key} is {wanted} for this resource type; leave it out")
        for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.name))
        if given.get(key, wanted) != wanted
    ]


def _wait_failures(kind: Kind, given: Mapping[str, Any]) -> list[CheckFailure]:
    wanted = annotations_of(given).get(WAIT_FOR)
    try:
        readiness_of(kind, wanted if isinstance(wanted, str) else None)
    except ValueError as error:
        return [CheckFailure(f'metadata.annotations["{WAIT_FOR}"]', str(error))]
    return []


def _create_failure(urn: str, error: ApiError, manager: str) -> str:
    text = field_managers.explain_conflict(error, manager) if error.conflict else str(error)
    hint = ALREADY_EXISTS if error.already_exists else ""
    return f'resource "{urn}" was not successfully created by the Kubernetes API server: {text}{hint}'


def _importable(kind: Kind, live: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a live object that a program could have given."""
    names = schema.input_names(kind, live)
    inputs = without_server_metadata({key: value for key, value in live.items() if key in names})
    annotations = {
        key: value
        for key, value in annotations_of(inputs).items()
        if key not in (LAST_APPLIED, "deployment.kubernetes.io/revision")
    }
    return with_metadata(inputs, annotations=annotations) if "annotations" in metadata_of(inputs) else inputs
