"""The controller: looks at every Issuer and Certificate of a cluster, issues what is due, and writes the results.

It is a thread in the tests' process, with a service account in the cluster that has cert-manager's rights, so that its
writes are not mistaken for the operator's. `policies` decides what is due, `issuing` issues it.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from sandbox.plugins.kubernetes.connection import MERGE_PATCH, ApiError, ApiServer, Unreachable, path
from sandbox.plugins.kubernetes.schema import Kind, kind_of
from tests.engine.cert_manager.issuing import NotIssued, Refused, SigningPair, issue, new_key
from tests.engine.cert_manager.policies import (
    ISSUER_GROUP,
    ISSUER_KIND,
    ISSUER_NAME,
    Held,
    Violation,
    issuer_reference,
    not_ready,
    renewal_time,
    to_issue,
)

API_VERSION = "cert-manager.io/v1"
NAMESPACE = "cert-manager"
ISSUING_MANAGER = "cert-manager-certificates-issuing"
_PAUSE_SECONDS = 0.5
# Deleted, changed meanwhile, or a server that is only starting to store a new kind: the next look sees the truth.
TRANSIENT = (404, 409, 429, 503)

CERTIFICATE = Kind(API_VERSION, "Certificate", "certificates", namespaced=True, type="")
ISSUER = Kind(API_VERSION, "Issuer", "issuers", namespaced=True, type="")
CLUSTER_ISSUER = Kind(API_VERSION, "ClusterIssuer", "clusterissuers", namespaced=False, type="")

Object = dict[str, Any]


class CertManager:
    """`clock` is the controller's time: tests set it back, so that what it issues is soon due for renewal."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
        self.failures: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def set_back(self, by: timedelta) -> None:
        self.clock = lambda: datetime.now(timezone.utc) - by

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                self.look()
            except Unreachable:
                continue  # the API server is restarting
            except ApiError as error:
                if error.code not in TRANSIENT:
                    self.failures.append(str(error))
            except Exception as error:  # a thread that ended silently would send the search in the wrong direction
                self.failures.append(repr(error))

    def look(self) -> None:
        """One round over everything."""
        for kind in (ISSUER, CLUSTER_ISSUER):
            for issuer in self._server.list_objects(kind, ""):
                self._verify(kind, issuer)
        for certificate in self._server.list_objects(CERTIFICATE, ""):
            self._certify(certificate)

    def _verify(self, kind: Kind, issuer: Object) -> None:
        try:
            self._pair(kind, issuer)
        except NotIssued as reason:
            self._report(kind, issuer, [condition("Ready", "False", reason.reason, str(reason))])
        else:
            self._report(kind, issuer, [condition("Ready", "True", "KeyPairVerified", "Signing CA verified")])

    def _pair(self, kind: Kind, issuer: Object) -> SigningPair:
        """The issuer's pair, from its own namespace; a ClusterIssuer's is in cert-manager's own namespace."""
        namespace = issuer["metadata"].get("namespace", NAMESPACE)
        name = issuer["spec"]["ca"]["secretName"]
        held = self._secret(namespace, name)
        return SigningPair.read(name, None if held is None else held.data)

    def _certify(self, certificate: Object) -> None:
        spec, namespace = certificate["spec"], certificate["metadata"]["namespace"]
        before = certificate.get("status") or {}
        held = self._secret(namespace, spec["secretName"], requested="revision" in before)
        asked = _asked_for(certificate)
        due = to_issue(spec, held, self.clock()) or asked
        status: Object = {}
        refusal = _refusal(before)
        if due is not None and asked is None and refusal is not None and self._too_early(certificate, refusal):
            self._report(CERTIFICATE, certificate, [refusal, _readiness(spec, held, self.clock())])
            return
        if due is not None:
            refusal = None
            started = [condition("Issuing", "True", due.reason, due.message), _readiness(spec, held, self.clock())]
            self._report(CERTIFICATE, certificate, started)
            try:
                held = self._issue(certificate, held)
            except NotIssued:
                return  # its issuer may become ready
            except Refused as error:
                text = f"The certificate request has failed to complete and will be retried: {error}"
                failed = [condition("Issuing", "False", "Failed", text), _readiness(spec, held, self.clock())]
                attempts = int(before.get("failedIssuanceAttempts", 0)) + 1
                status = {"lastFailureTime": rfc3339(self.clock()), "failedIssuanceAttempts": attempts}
                self._report(CERTIFICATE, certificate, failed, status)
                return
            status = {"revision": int(before.get("revision", 0)) + 1}
            status |= {key: None for key in ("lastFailureTime", "failedIssuanceAttempts") if key in before}
        assert held is not None  # nothing is due
        leaf = held.certificate
        status |= {
            "notBefore": rfc3339(leaf.not_valid_before_utc),
            "notAfter": rfc3339(leaf.not_valid_after_utc),
            "renewalTime": rfc3339(renewal_time(leaf, spec)),
        }
        # A refusal stays until something is issued.
        kept = [] if refusal is None else [refusal]
        self._report(CERTIFICATE, certificate, [*kept, _readiness(spec, held, self.clock())], status)

    def _too_early(self, certificate: Object, refusal: Object) -> bool:
        """Whether the delay after a refusal still runs: 1 h, doubled up to 32 h; a changed request is tried at once."""
        if refusal["observedGeneration"] != certificate["metadata"]["generation"]:
            return False
        status = certificate["status"]
        since = datetime.strptime(status["lastFailureTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        pause = min(timedelta(hours=2 ** (int(status["failedIssuanceAttempts"]) - 1)), timedelta(hours=32))
        return self.clock() < since + pause

    def _issue(self, certificate: Object, before: Held | None) -> Held:
        spec, metadata = certificate["spec"], certificate["metadata"]
        name, kind_name, group = issuer_reference(spec["issuerRef"])
        kind = {"Issuer": ISSUER, "ClusterIssuer": CLUSTER_ISSUER}.get(kind_name)
        if kind is None or group != "cert-manager.io":
            raise NotIssued(f"{kind_name}.{group} is somebody else's to sign")
        try:
            issuer = self._server.get(kind, metadata["namespace"], name)
        except ApiError as error:
            if not error.not_found:
                raise
            raise NotIssued(f'Referenced "{kind_name}" not found: {kind_name.lower()} "{name}" not found') from None
        signer = self._pair(kind, issuer)
        keeps = (spec.get("privateKey") or {}).get("rotationPolicy") == "Never" and before is not None
        key = before.key if keeps and before is not None else new_key(spec)
        data = issue(spec, key, signer, self.clock())
        annotations = {
            "cert-manager.io/alt-names": ",".join(spec.get("dnsNames") or []),
            "cert-manager.io/certificate-name": metadata["name"],
            "cert-manager.io/common-name": spec.get("commonName", ""),
            "cert-manager.io/ip-sans": "",
            "cert-manager.io/uri-sans": "",
            ISSUER_NAME: name,
            ISSUER_KIND: kind_name,
            ISSUER_GROUP: group,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": spec["secretName"],
                "namespace": metadata["namespace"],
                "annotations": annotations,
                "labels": {"controller.cert-manager.io/fao": "true"},
            },
            "type": "kubernetes.io/tls",
            "data": {key_: base64.b64encode(value).decode() for key_, value in data.items()},
        }
        self._server.apply(
            _secret_kind(),
            metadata["namespace"],
            spec["secretName"],
            body,
            ISSUING_MANAGER,
            force=True,
            dry_run=False,
        )
        return Held(data, annotations)

    def _secret(self, namespace: str, name: str, *, requested: bool = True) -> Held | None:
        try:
            secret = self._server.get(_secret_kind(), namespace, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        return Held(data, secret["metadata"].get("annotations") or {}, requested)

    def _report(
        self, kind: Kind, live: Object, conditions: list[Object], status: Mapping[str, Any] | None = None
    ) -> None:
        """Write the status unless it is already so. `conditions` replaces all existing conditions."""
        before = live.get("status") or {}
        known = {one["type"]: one for one in before.get("conditions") or []}
        generation = live["metadata"]["generation"]
        merged = []
        for one in conditions:
            old = known.get(one["type"], {})
            changed = old.get("status") != one["status"]
            since = rfc3339(datetime.now(timezone.utc)) if changed else old["lastTransitionTime"]
            merged.append({"observedGeneration": generation, **one, "lastTransitionTime": since})
        wanted = {**(status or {}), "conditions": merged}
        if {key: value for key, value in {**before, **wanted}.items() if value is not None} == before:
            return
        target = path(kind, live["metadata"].get("namespace", ""), live["metadata"]["name"]) + "/status"
        body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "status": wanted}
        written = self._server.request("PATCH", target, {"fieldManager": "cert-manager"}, body, MERGE_PATCH)
        live["metadata"], live["status"] = written["metadata"], written["status"]


def condition(type_: str, status: str, reason: str, message: str) -> Object:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def _readiness(spec: Mapping[str, Any], held: Held | None, now: datetime) -> Object:
    violation = not_ready(spec, held, now)
    if violation is not None:
        return condition("Ready", "False", violation.reason, violation.message)
    return condition("Ready", "True", "Ready", "Certificate is up to date and has not expired")


def _refusal(status: Mapping[str, Any]) -> Object | None:
    for one in status.get("conditions") or []:
        if (one["type"], one["status"]) == ("Issuing", "False"):
            found: Object = one
            return found
    return None


def _asked_for(certificate: Object) -> Violation | None:
    """`cmctl renew` sets the condition by hand."""
    for one in (certificate.get("status") or {}).get("conditions") or []:
        if one["type"] == "Issuing" and one["status"] == "True" and one.get("reason") == "ManuallyTriggered":
            return Violation(one["reason"], one.get("message", ""))
    return None


def _secret_kind() -> Kind:
    kind = kind_of("v1", "Secret")
    assert kind is not None
    return kind


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
