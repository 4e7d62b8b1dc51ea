"""The life of a Helm release, run by the real Helm: check, diff, create, read, update, delete.

Owns the order of steps, the outputs, and the state that a failure leaves. Flags are in `release_inputs.py`, the process
in `helm.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sandbox.plugins.kubernetes import charts, difference, helm, release_inputs, release_storage
from sandbox.plugins.kubernetes.charts import ChartError
from sandbox.plugins.kubernetes.checkpoint import INPUTS, annotate
from sandbox.plugins.kubernetes.cluster import Connected
from sandbox.plugins.kubernetes.connection import ApiError, ApiServer, Unreachable
from sandbox.plugins.kubernetes.helm import HelmFailed
from sandbox.plugins.kubernetes.inputs import generated_name, parse_id
from sandbox.plugins.kubernetes.release_storage import Stored
from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, InitializationFailed, Log, ResourceError
from sandbox.plugins.values import UNKNOWN, Properties, Secret, contains_unknown, unwrap

RELEASE: Final = "kubernetes:helm.sh/v3:Release"
FORCES_NEW: Final = (".name", ".namespace")
COMPUTED: Final = ("resourceNames", "status")


class Releases:
    def __init__(self, connected: Connected, log: Log) -> None:
        self._connected = connected
        self._log = log

    def check(self, urn: str, olds: Properties, news: Properties, seed: bytes) -> CheckResult:
        given = unwrap(news)
        failures = release_inputs.failures(given)
        if failures:
            return CheckResult(news, failures)
        name = unwrap(olds).get("name") or generated_name(urn, seed)
        inputs = release_inputs.with_defaults(given, name, self._connected.default_namespace)
        if not contains_unknown(inputs):
            try:
                # The resolved version: "latest" and ranges move, and the diff must see it.
                inputs["version"] = self._chart(inputs).version
            except ChartError as error:
                reason = f"{error}; check the chart name and repository configuration."
                return CheckResult(annotate(inputs, news), [CheckFailure("chart", reason)])
        return CheckResult(annotate(inputs, news))

    def diff(self, old_outputs: Properties, news: Properties, ignore: Sequence[str]) -> DiffResult:
        olds, new = unwrap(old_outputs), unwrap(news)
        old_inputs = {
            key: value for key, value in (olds.pop(INPUTS, None) or {}).items() if key not in release_inputs.DROPPED
        }
        if "version" in ignore:
            new["version"] = olds.get("version", "")
        patch = _three_way_patch(old_inputs, new, olds)
        detailed = {
            path: change
            for path, change in difference.detail(patch, olds, new, old_inputs, FORCES_NEW).items()
            if not difference.ignored(path, ignore)
        }
        replaces = sorted(path for path, change in detailed.items() if change.kind.endswith("-replace"))
        # The reasons that the engine records: every changed property, ignored or not.
        return DiffResult(bool(detailed), replaces, detailed, diffs=sorted(patch) if detailed else [])

    def create(self, urn: str, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        new = unwrap(inputs)
        if preview:
            return "", _preview(inputs)
        server = self._connected.reachable()
        id_ = f"{new['namespace']}/{new['name']}"
        before = self._latest(server, new)
        try:
            helm.run(self._connected, release_inputs.install_arguments(new), new["values"])
        except HelmFailed as failure:
            stored = self._latest(server, new)
            if stored is None or (before is not None and stored.revision <= before.revision):
                raise ResourceError(str(failure)) from None
            self._log(
                "warning",
                f'Helm release "{new["name"]}" was created but has a failed status. Use the `helm` command to '
                f"investigate the error, correct it, then retry. Reason: {failure}",
                urn,
            )
            message = (
                f'Helm release "{id_}" was created, but failed to initialize completely. Use Helm CLI to investigate: '
                f"{_unavailable(id_, failure)}"
            )
            raise InitializationFailed(id_, _outputs(new, inputs, stored), {}, [message]) from None
        return id_, _outputs(new, inputs, self._stored(server, new))

    def read(self, urn: str, id_: str, outputs: Properties) -> tuple[str, Properties, Properties] | None:
        if self._connected.server is None:
            if self._connected.options.delete_unreachable:
                return None
            raise ResourceError(
                f"failed to read resource state due to unreachable cluster: {self._connected.unreachable}"
            )
        server = self._connected.server
        olds = unwrap(outputs)
        namespace, name = (olds["namespace"], olds["name"]) if olds else parse_id(id_)
        stored = self._latest(server, {"namespace": namespace or self._connected.default_namespace, "name": name})
        if stored is None:
            return None
        given = outputs.get(INPUTS)
        if given is not None:
            inputs = given.value if isinstance(given, Secret) else given
            known = {key: value for key, value in olds.items() if key not in (INPUTS, *COMPUTED)}
            return id_, inputs, _outputs(known, inputs, stored)
        inputs = release_inputs.with_defaults({"timeout": 0}, stored.name, stored.namespace)
        chart = charts.find_in_program_directory(stored.chart_name, stored.chart_version) or stored.chart_name
        inputs |= {"chart": chart, "values": stored.config, "version": stored.chart_version}
        return id_, inputs, _outputs(inputs, inputs, stored)

    def update(self, old_outputs: Properties, news: Properties, preview: bool) -> Properties:
        new = unwrap(news)
        if preview:
            return _preview(news)
        server = self._connected.reachable()
        id_ = f"{new['namespace']}/{new['name']}"
        before = self._latest(server, new)
        try:
            helm.run(self._connected, release_inputs.upgrade_arguments(new), new["values"])
        except HelmFailed as failure:
            # The failed revision itself, not the one that an atomic rollback created after it.
            failed = None if before is None else self._revision(server, new, before.revision + 1)
            if failed is None:
                raise ResourceError(str(failure)) from None
            message = (
                f'Helm release "{id_}" failed to initialize completely. Use Helm CLI to investigate: '
                f"{_unavailable(id_, failure)}"
            )
            raise InitializationFailed(id_, _outputs(new, news, failed), {}, [message]) from None
        return _outputs(new, news, self._stored(server, new))

    def delete(self, urn: str, outputs: Properties) -> None:
        if self._connected.server is None:
            raise ResourceError(
                f'can\'t delete Helm Release with unreachable cluster. Reason: "{self._connected.unreachable}"'
            )
        try:
            said = helm.run(self._connected, release_inputs.uninstall_arguments(unwrap(outputs)))
        except HelmFailed as failure:
            raise ResourceError(str(failure)) from None
        kept = said.partition("These resources were kept")[2]
        if kept:
            self._log("warning", f"Helm uninstall returned information: These resources were kept{kept.rstrip()}", urn)

    def _chart(self, inputs: Mapping[str, Any]) -> charts.Metadata:
        path = None if (inputs.get("repositoryOpts") or {}).get("repo") else charts.local_path(inputs["chart"])
        if path is not None:
            metadata = charts.read(path)
        else:
            arguments = ["show", "chart", inputs["chart"], *release_inputs.chart_arguments(inputs)]
            try:
                metadata = charts.parse(helm.run(self._connected, arguments + (["--devel"] if inputs["devel"] else [])))
            except HelmFailed as failure:
                raise ChartError(str(failure)) from None
            # A repository serves packages, which already contain their dependencies.
            return metadata
        charts.check_installable(metadata, inputs["dependencyUpdate"])
        return metadata

    def _latest(self, server: ApiServer, names: Mapping[str, Any]) -> Stored | None:
        return _answered(lambda: release_storage.latest(server, names["namespace"], names["name"], self._driver()))

    def _revision(self, server: ApiServer, names: Mapping[str, Any], number: int) -> Stored | None:
        return _answered(
            lambda: release_storage.revision(server, names["namespace"], names["name"], number, self._driver())
        )

    def _stored(self, server: ApiServer, names: Mapping[str, Any]) -> Stored:
        stored = self._latest(server, names)
        if stored is None:
            raise ResourceError(
                f"Helm reports success, but release {names['namespace']}/{names['name']} does not exist"
            )
        return stored

    def _driver(self) -> str:
        return self._connected.options.helm.get("HELM_DRIVER", "secret")


def _answered(question: Callable[[], Stored | None]) -> Stored | None:
    try:
        return question()
    except (ApiError, Unreachable) as error:
        raise ResourceError(f"cannot read Helm's releases: {error}") from None


def _unavailable(id_: str, failure: HelmFailed) -> str:
    return f"failed to become available within allocated timeout. Error: Helm Release {id_}: {failure}"


def _preview(inputs: Properties) -> Properties:
    return {**inputs, INPUTS: Secret(inputs), **dict.fromkeys(COMPUTED, UNKNOWN)}


def _outputs(inputs: Mapping[str, Any], given: Mapping[str, Any], stored: Stored) -> Properties:
    """`inputs` are plain; `given` are the same with secret marks, which the state keeps as one secret."""
    outputs = {
        **inputs,
        "values": _merge(inputs.get("values") or {}, stored.config),
        "version": stored.chart_version,
        "resourceNames": release_storage.resource_names(stored.manifest),
        "status": {
            "appVersion": stored.application_version,
            "chart": stored.chart_name,
            "name": stored.name,
            "namespace": stored.namespace,
            "revision": stored.revision,
            "status": stored.status,
            "version": stored.chart_version,
        },
    }
    return {**annotate(outputs, given), INPUTS: Secret(dict(given))}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def _three_way_patch(
    original: Mapping[str, Any], modified: Mapping[str, Any], current: Mapping[str, Any]
) -> dict[str, Any]:
    """What the new inputs change in the current state, and which old inputs they drop."""
    patch: dict[str, Any] = {key: None for key in original if key not in modified}
    for key, value in modified.items():
        now = current.get(key, difference.MISSING)
        if isinstance(now, Mapping) and isinstance(value, Mapping):
            before = original.get(key)
            inner = _three_way_patch(before if isinstance(before, Mapping) else {}, value, now)
            if inner:
                patch[key] = inner
        else:
            patch |= difference.merge_patch({} if now is difference.MISSING else {key: now}, {key: value})
    return patch
