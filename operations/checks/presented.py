"""Whether TAG will accept the host CAs that a Teleport uses now, asked of its proxy where it can be reached.

A file or an inline CA may be an old one, of before a rotation or of a cluster that was rebuilt under the same name. TAG
then turns auth away while every pod looks healthy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from components.host_authorities import HostAuthorityError, load_host_authorities
from components.proxy_export import fetch_from_proxy
from components.settings import ProxyHostAuthorities
from components.settings.formats import is_host_port
from operations.findings import Finding, failed, passed


def public_address(cluster: str, values: Mapping[str, Any]) -> str | None:
    """The proxies' `host:port` according to the values of the teleport-cluster chart, which takes the cluster's name
    where they give none; None where that is no address."""
    own = values.get("proxy")
    given = {**values, **(own if isinstance(own, Mapping) else {})}.get("publicAddr")
    address = str(given[0] if isinstance(given, list) and given else cluster).lower()
    address = address if ":" in address else f"{address}:443"
    return address if is_host_port(address) else None


def check_presented(
    cluster: str, address: str, accepted: Collection[str], *, root: Path, now: datetime
) -> list[Finding]:
    """`accepted` are the fingerprints that TAG accepts after the `up`. Nothing where the proxy does not answer, cannot
    be verified by this machine's trust store, or gives what is not this cluster's: then nothing is known."""
    source = ProxyHostAuthorities(mode="proxy", address=address)
    try:
        presented = load_host_authorities(source, cluster=cluster, root=root, now=now, fetch=fetch_from_proxy)
    except HostAuthorityError:
        return []
    check, statement = f"teleport.{cluster}.host-authorities", f"TAG accepts the host CAs that {cluster} uses"
    strangers = [f"{one.fingerprint} ({one.subject})" for one in presented if one.fingerprint not in accepted]
    if not strangers:
        return [passed(check, statement, f"those that its proxy {address} gives")]
    reason = (
        f"its proxy {address} gives {', '.join(strangers)}, and teleport.{cluster}.hostAuthorities does not: TAG would "
        "turn auth away while every pod looks healthy; give what `tctl get cert_authorities --format=json` prints "
        "now, and for a rebuilt cluster confirm it with fingerprints (docs/certificates.md)"
    )
    return [failed(check, statement, reason)]
