"""The tls resource types as a plugin: checks, replacement, and the renewal of certificates that are about to expire.

Owns time and the engine's verbs; the modules beside it make keys and certificates and are imported only when needed,
because `cryptography` would cost every preview a tenth of a second.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from sandbox.plugins.protocol import DiffResult, ResourceError
from sandbox.plugins.tls import schemas
from sandbox.plugins.values import UNKNOWN, Properties, unwrap
from sandbox.plugins.values_schema import StateOnlyProvider


class TlsProvider(StateOnlyProvider):
    """Nothing exists outside the state. Even without a refresh, a certificate in its renewal window is replaced."""

    name = "tls"
    version = "5.6.2"
    types = schemas.SCHEMAS

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
        schema = self.schema(type_)
        difference = schema.difference(old_outputs, news, ignore_changes)
        hours = unwrap(news.get("earlyRenewalHours", 0))
        if hours is UNKNOWN:
            raise ResourceError("early_renewal_hours: Value Conversion Error: the window is not known yet")
        if "readyForRenewal" in schema.computed and _expires(old_outputs, hours):
            return DiffResult(
                changes=True,
                diffs=[*difference.diffs, "readyForRenewal"],
                replaces=[*difference.replaces, "readyForRenewal"],
            )
        return difference

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        schema = self.schema(type_)
        if preview:
            outputs = schema.planned(inputs, preview=True)
            if "readyForRenewal" in schema.computed:
                outputs["readyForRenewal"] = _ready_at_birth(outputs)
            return "", outputs
        wanted = unwrap(schema.planned(inputs, preview=False))
        if type_ == schemas.PRIVATE_KEY:
            id_, computed = _private_key(wanted)
        elif type_ == schemas.CERT_REQUEST:
            id_, computed = _request(wanted)
        elif type_ == schemas.SELF_SIGNED:
            id_, computed = _self_signed(wanted)
        else:
            id_, computed = self._locally_signed(urn, wanted)
        if "readyForRenewal" in schema.computed:
            computed["readyForRenewal"] = _ready_at_birth(wanted)
        return id_, {**schema.finished(inputs, computed), "id": id_}

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        schema = self.schema(type_)
        if not outputs:
            raise ResourceError(f"{type_} does not support import: what it is made from cannot be read from anywhere")
        if "readyForRenewal" in schema.computed and _expires(outputs, unwrap(outputs.get("earlyRenewalHours", 0))):
            outputs = {**outputs, "readyForRenewal": True}
        return id_, inputs, outputs

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
        """Only `earlyRenewalHours` can change here: the certificate stays as it is."""
        schema = self.schema(type_)
        kept = {name: value for name, value in old_outputs.items() if name not in schema.inputs}
        return {**kept, **schema.planned(news, preview=False), "readyForRenewal": _ready_at_birth(unwrap(news))}

    def _locally_signed(self, urn: str, wanted: Properties) -> tuple[str, Properties]:
        from sandbox.plugins.tls import certificates, keys

        key, name, alternatives = certificates.request_contents(certificates.parse_request(wanted["certRequestPem"]))
        ca_key = keys.parse_private_key(wanted["caPrivateKeyPem"], "CA private key")
        issuer, is_authority = certificates.locally(wanted["caCertPem"], ca_key)
        if not is_authority:
            self.log(
                "warning",
                "Potentially Invalid Certificate Authority: caCertPem does not appear to be a valid Certificate "
                "Authority. The resulting certificate might fail certificate validation.",
                urn,
            )
        id_, computed = certificates.issue(wanted, key, name, alternatives, issuer)
        return id_, {**computed, "caKeyAlgorithm": keys.algorithm_of(ca_key)}


def _private_key(wanted: Properties) -> tuple[str, Properties]:
    from sandbox.plugins.tls import keys

    return keys.key_outputs(keys.generate(wanted["algorithm"], wanted["ecdsaCurve"], wanted["rsaBits"]))


def _request(wanted: Properties) -> tuple[str, Properties]:
    from sandbox.plugins.tls import certificates, keys

    key = keys.parse_private_key(wanted["privateKeyPem"], "private key")
    id_, computed = certificates.request(
        key,
        certificates.subject_name(wanted.get("subject")),
        certificates.alternative_names(*(wanted.get(kind, []) for kind in ("dnsNames", "ipAddresses", "uris"))),
    )
    return id_, {**computed, "keyAlgorithm": keys.algorithm_of(key)}


def _self_signed(wanted: Properties) -> tuple[str, Properties]:
    from sandbox.plugins.tls import certificates, keys

    key = keys.parse_private_key(wanted["privateKeyPem"], "private key")
    id_, computed = certificates.issue(
        wanted,
        key.public_key(),
        certificates.subject_name(wanted.get("subject")),
        certificates.alternative_names(*(wanted.get(kind, []) for kind in ("dnsNames", "ipAddresses", "uris"))),
        issuer=None,
        self_key=key,
    )
    return id_, {**computed, "keyAlgorithm": keys.algorithm_of(key)}


def _ready_at_birth(outputs: Properties) -> object:
    """Whether the window spans the whole validity: the certificate is then born ready, and every update renews it."""
    validity, early = outputs["validityPeriodHours"], outputs.get("earlyRenewalHours", 0)
    if UNKNOWN in (validity, early):
        return UNKNOWN
    return bool(validity == 0 or early >= validity)


def _expires(outputs: Properties, early_renewal_hours: int) -> bool:
    """Whether the window has begun. An old state without the end time is left alone, as in the official plugin."""
    text = unwrap(outputs.get("validityEndTime"))
    if not isinstance(text, str):
        return False
    # The official plugin writes nanoseconds; `fromisoformat` accepts six digits and, before 3.11, no `Z`.
    plain = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), text).replace("Z", "+00:00")
    end = datetime.fromisoformat(plain)
    return end - timedelta(hours=early_renewal_hours) <= datetime.now(timezone.utc)
