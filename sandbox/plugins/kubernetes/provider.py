"""The provider: configuration, and the dispatch of each resource type.

Objects are in `objects.py`, releases in `release.py`.
"""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes import configuration
from sandbox.plugins.kubernetes.cluster import Connected, connect
from sandbox.plugins.kubernetes.custom import kind_of_custom
from sandbox.plugins.kubernetes.objects import Objects
from sandbox.plugins.kubernetes.release import RELEASE, Releases
from sandbox.plugins.kubernetes.schema import Kind, kind_of_type
from sandbox.plugins.protocol import CheckResult, DiffResult, ResourceError, ResourceProvider
from sandbox.plugins.values import Properties

VERSION: Final = "4.34.2"


class KubernetesProvider(ResourceProvider):
    name = "kubernetes"
    version = VERSION

    def __init__(self) -> None:
        self._connected: Connected | None = None

    def check_config(self, urn: str, olds: Properties, news: Properties) -> CheckResult:
        return CheckResult(news, configuration.check(news))

    def diff_config(self, urn: str, olds: Properties, news: Properties) -> DiffResult:
        return configuration.diff(olds, news)

    def configure(self, properties: Properties) -> None:
        environment = configuration.ambient()
        self._connected = connect(configuration.read(properties, environment), environment)

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        connected = self._cluster()
        if connected.server is None and connected.options.skip_update_unreachable and olds:
            self.log(
                "warning", "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...", urn
            )
            return CheckResult(olds)
        if type_ == RELEASE:
            return self._releases().check(urn, olds, news, random_seed)
        return self._objects().check(urn, self._kind(type_), olds, news, random_seed)

    def diff(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: list[str],
    ) -> DiffResult:
        if type_ == RELEASE:
            return self._releases().diff(old_outputs, news, ignore_changes)
        return self._objects().diff(urn, self._kind(type_), old_outputs, news, ignore_changes)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        if type_ == RELEASE:
            return self._releases().create(urn, inputs, preview)
        return self._objects().create(urn, self._kind(type_), inputs, timeout, preview)

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        if type_ == RELEASE:
            return self._releases().read(urn, id_, outputs)
        return self._objects().read(urn, self._kind(type_), id_, inputs, outputs)

    def update(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float,
        preview: bool,
        ignore_changes: list[str],
    ) -> Properties:
        if type_ == RELEASE:
            return self._releases().update(old_outputs, news, preview)
        return self._objects().update(urn, self._kind(type_), old_outputs, news, timeout, preview, ignore_changes)

    def delete(self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        if type_ == RELEASE:
            self._releases().delete(urn, outputs)
        else:
            self._objects().delete(urn, self._kind(type_), id_, outputs, timeout)

    def cancel(self) -> None:
        if self._connected is not None:
            self._connected.cancelled.set()

    def _cluster(self) -> Connected:
        if self._connected is None:
            raise ResourceError("the provider's configuration is not known yet; give it values that a preview knows")
        return self._connected

    def _objects(self) -> Objects:
        return Objects(self._cluster(), self.log)

    def _releases(self) -> Releases:
        return Releases(self._cluster(), self.log)

    def _kind(self, type_: str) -> Kind:
        kind = kind_of_type(type_)
        if kind is None:
            kind = kind_of_custom(type_, self._cluster().server)
        if kind is None:
            raise self.unsupported(type_)
        return kind
