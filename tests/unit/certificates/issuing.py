"""Real certificates, requested as the program does and issued as the tls plugin does: no engine, no cluster.

The program runs under the recording monitor. The stand-in of the plugin then issues what the program registered; its
certificates have the form of the official plugin's (`tests/unit/plugins`). In a later step, certificates whose inputs
did not change stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.certificates import Certificates
from sandbox.plugins.tls.provider import TlsProvider
from sandbox.plugins.values import Properties, unwrap
from tests.unit.certificates.pki import HOST
from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, record, unsealed

SERVER, SERVER_KEY = "certificates-server", "certificates-server-key"


@dataclass(frozen=True)
class Issued:
    """What one `up` leaves behind."""

    bundle: str
    """PEM of the authorities that clients trust."""
    certificate: str
    """PEM of the certificate that is served."""
    authorities: dict[int, str]
    """PEM of each authority, by generation."""


@dataclass
class Issuing:
    """A stack's certificates from one step to the next."""

    _made: dict[str, tuple[Properties, Properties]] = field(default_factory=dict)
    _plugin: TlsProvider = field(default_factory=TlsProvider)

    def up(self, **arguments: Any) -> Issued:
        """Run an `up` of `Certificates` with these arguments; `dns_names` is always the Service's name alone."""
        recording = _registered({"dns_names": [HOST], **arguments})
        real: dict[str, str] = {}
        for registration in recording.registrations:
            templates = COMPUTED_OUTPUTS.get(registration.type, {})
            if not registration.type.startswith("tls:"):
                continue
            inputs = {key: _replaced(value, real) for key, value in unsealed(registration.inputs).items()}
            outputs = self._make(registration.name, registration.type, inputs)
            for marked, template in templates.items():
                key = marked.lstrip("!")
                if key.endswith(("Pem", "PemPkcs8")):
                    stands_for = template(registration.name) if callable(template) else template
                    real[stands_for.replace("{name}", registration.name)] = outputs[key]
        generations = {
            int(name.removeprefix("certificates-ca-")): outputs["certPem"]
            for name, (_, outputs) in self._made.items()
            if name.startswith("certificates-ca-") and not name.endswith("-key")
        }
        return Issued(_replaced(recording.outputs["bundle"], real), self._made[SERVER][1]["certPem"], generations)

    def _make(self, name: str, type_: str, inputs: Properties) -> Properties:
        before = self._made.get(name)
        if before is None or before[0] != inputs:
            checked = self._plugin.check(name, type_, {}, inputs, b"")
            assert checked.failures == [], checked.failures
            outputs = unwrap(self._plugin.create(name, type_, checked.inputs, 0, False)[1])
            self._made[name] = (inputs, outputs)
        return self._made[name][1]


def _registered(arguments: dict[str, Any]) -> Recording:
    def program() -> None:
        pulumi.export("bundle", Certificates("certificates", arguments).trust_bundle)  # type: ignore[arg-type]

    return record(program)


def _replaced(value: Any, real: dict[str, str]) -> Any:
    """`value` with every text that the monitor answered replaced by what was really issued."""
    if not isinstance(value, str):
        return value
    for stands_for, made in real.items():
        value = value.replace(stands_for, made)
    return value
