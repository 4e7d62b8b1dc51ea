"""How another stack reads this one's outputs: typed, by name, with one clear error for outputs that it cannot read.

Needs nothing of this program but this module and `outputs_contract`. docs/outputs.md says what the outputs mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pulumi

from components.outputs_contract import OUTPUT_TYPES, OUTPUTS_VERSION

Value = TypeVar("Value")

# Types of outputs read by name. `outputsVersion`, a number, is read before them.
_PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "map": Mapping,
}


class OutputsError(pulumi.RunError):
    """The named stack cannot be read; the message says why, and what to do."""


class AccessGraphOutputs:
    """The outputs of one stack of Teleport Access Graph. Each is read when it is asked for.

    Each is an Output of its own, so that a secret one makes no other secret. One that an environment does not have is
    None: the release's while the access graph is off, the instance's for a database that somebody else runs. An Output
    fails with `OutputsError` if nothing is deployed there, if the outputs have another version than the one known here,
    or if its value has the wrong type; nothing is then made from it.
    """

    def __init__(self, stack: str | pulumi.StackReference) -> None:
        """`stack` is `<organization>/teleport-access-graph/<environment>`, or a reference to it."""
        self._reference = stack if isinstance(stack, pulumi.StackReference) else pulumi.StackReference(stack)
        version = self._reference.get_output("outputsVersion")
        self._stack = pulumi.Output.all(self._reference.name, version).apply(lambda read: _known_version(*read))

    @property
    def endpoint(self) -> pulumi.Output[str]:
        """`host:port` of the access graph within its cluster."""
        return self._some("endpoint")

    @property
    def service_host(self) -> pulumi.Output[str]:
        """The host of the endpoint."""
        return self._some("serviceHost")

    @property
    def namespace(self) -> pulumi.Output[str]:
        """The access graph's namespace."""
        return self._some("namespace")

    @property
    def release_name(self) -> pulumi.Output[str | None]:
        """Name of its Helm release; None while the access graph is off."""
        return self._read("releaseName")

    @property
    def chart_version(self) -> pulumi.Output[str | None]:
        """The chart's version, which is also the service's; None while the access graph is off."""
        return self._read("chartVersion")

    @property
    def ca_bundle(self) -> pulumi.Output[str | None]:
        """PEM of the authorities that callers of the endpoint must trust; None where the system's are enough."""
        return self._read("caBundle")

    @property
    def ca_not_after(self) -> pulumi.Output[str | None]:
        """RFC 3339: when the first authority of `ca_bundle` ends."""
        return self._read("caNotAfter")

    @property
    def certificate_not_after(self) -> pulumi.Output[str | None]:
        """RFC 3339: when the server certificate ends; None where the stack does not know."""
        return self._read("certificateNotAfter")

    @property
    def database_endpoint(self) -> pulumi.Output[str | None]:
        """`host:port` of the RDS instance; None for a database that exists."""
        return self._read("databaseEndpoint")

    @property
    def database_name(self) -> pulumi.Output[str | None]:
        """Name of the database in the RDS instance; None for a database that exists."""
        return self._read("databaseName")

    @property
    def database_instance_arn(self) -> pulumi.Output[str | None]:
        """ARN of the RDS instance; None for a database that exists."""
        return self._read("databaseInstanceArn")

    @property
    def database_secret_name(self) -> pulumi.Output[str]:
        """Secret, in `namespace`, with the connection URI."""
        return self._some("databaseSecretName")

    @property
    def tls_secret_name(self) -> pulumi.Output[str]:
        """Secret, in `namespace`, with the certificate and its key."""
        return self._some("tlsSecretName")

    @property
    def external_endpoint(self) -> pulumi.Output[str | None]:
        """`host:port` for Teleports and agents outside the cluster; None without `accessGraph.external`."""
        return self._read("externalEndpoint")

    @property
    def external_address(self) -> pulumi.Output[str | None]:
        """Name or IP of its load balancer; None without `accessGraph.external`."""
        return self._read("externalAddress")

    @property
    def reader_role(self) -> pulumi.Output[str]:
        """A Teleport role that may look at the graph, for `tctl create -f`."""
        return self._some("readerRole")

    @property
    def host_authority_fingerprints(self) -> pulumi.Output[Mapping[str, Sequence[str]]]:
        """SHA-256 of each accepted host CA, by Teleport cluster."""
        return self._some("hostAuthorityFingerprints")

    @property
    def teleport_values(self) -> pulumi.Output[Mapping[str, Any]]:
        """The user's plain Helm values with the patch, by Teleport cluster."""
        return self._some("teleportValues")

    @property
    def teleport_config(self) -> pulumi.Output[Mapping[str, Any]]:
        """The access graph's part of auth's `teleport.yaml`, by Teleport cluster."""
        return self._some("teleportConfig")

    @property
    def teleport_files(self) -> pulumi.Output[Mapping[str, Mapping[str, str]]]:
        """By Teleport cluster of mode `manual`: the files to place on auth's hosts, content by absolute path."""
        return self._some("teleportFiles")

    @property
    def teleport_merged_values(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """Secret: `teleport_values` with the secret ones merged in, by Teleport cluster; None where no cluster has
        `emitSecretValues`."""
        return self._read("teleportMergedValues")

    @property
    def teleport_clean_up(self) -> pulumi.Output[Mapping[str, Sequence[str]]]:
        """By Teleport cluster: what a plain `destroy` leaves, with the commands that remove it."""
        return self._some("teleportCleanUp")

    def known(self, output: pulumi.Output[Value | None], what: str) -> pulumi.Output[Value]:
        """`output`; fails with `OutputsError` where that environment does not have it. `what` names it in the error."""

        def check(read: Sequence[Any]) -> Value:
            stack, value = read
            if value is None:
                raise OutputsError(f"{stack}: has no output {what}; its environment does without, so do without it too")
            found: Value = value
            return found

        return pulumi.Output.all(self._stack, output).apply(check)

    def _read(self, name: str) -> pulumi.Output[Any]:
        return pulumi.Output.all(self._stack, self._reference.get_output(name)).apply(
            lambda read: _of_its_type(read[0], name, read[1])
        )

    def _some(self, name: str) -> pulumi.Output[Any]:
        return pulumi.Output.all(self._stack, self._reference.get_output(name)).apply(
            lambda read: _there(read[0], name, read[1])
        )


def _known_version(stack: str, version: Any) -> str:
    """The stack's name, if its outputs have the version known here."""
    if version is None:
        raise OutputsError(
            f"{stack}: has no output outputsVersion; nothing is deployed there, or it is no stack of Teleport Access "
            "Graph: correct the name, or run its `up` first"
        )
    # The engine returns numbers as floats.
    number = isinstance(version, (int, float)) and not isinstance(version, bool)
    if not number or version != OUTPUTS_VERSION:
        shown = f"{version:g}" if number else repr(version)
        raise OutputsError(
            f"{stack}: has outputs of version {shown}, and this reader knows {OUTPUTS_VERSION}; take the reader of the "
            "program that deployed it"
        )
    return stack


def _there(stack: str, name: str, value: Any) -> Any:
    if value is None:
        raise OutputsError(f"{stack}: has no output {name}, which version {OUTPUTS_VERSION} has; run its `up`")
    return _of_its_type(stack, name, value)


def _of_its_type(stack: str, name: str, value: Any) -> Any:
    kind = OUTPUT_TYPES[name].kind
    if value is not None and not isinstance(value, _PYTHON_TYPES[kind]):
        raise OutputsError(f"{stack}: its output {name} is no {kind}; somebody else's program wrote it")
    return value
