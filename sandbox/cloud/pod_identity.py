"""EKS Pod Identity associations, which moto lacks: which ServiceAccounts of a cluster get which role.

Owns the associations and the file that tells the node which pods receive credentials; `pod_identity_agent` hands them
out. https://docs.aws.amazon.com/eks/latest/APIReference/API_PodIdentityAssociation.html
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException, ResourceInUseException, ResourceNotFoundException
from moto.eks.models import EKSBackend, eks_backends
from moto.eks.responses import EKSResponse

from sandbox.cloud.files import write_json
from sandbox.cloud.identities import role_of
from sandbox.cloud.landing_zone import ACCOUNT, CLUSTER, REGION
from sandbox.cloud.neighbours import StandInBackend

ID_ALPHABET = string.ascii_lowercase + string.digits
ID_LENGTH = 17

_PATH = "{0}/clusters/(?P<name>[^/]+)/pod-identity-associations"


@dataclass
class Association:
    cluster_name: str
    namespace: str
    service_account: str
    role_arn: str
    association_arn: str
    association_id: str
    tags: dict[str, str]
    created_at: Any = field(default_factory=utcnow)
    modified_at: Any = field(default_factory=utcnow)

    def described(self) -> dict[str, Any]:
        return {
            **self.summary(),
            "roleArn": self.role_arn,
            "tags": self.tags,
            "createdAt": self.created_at,
            "modifiedAt": self.modified_at,
        }

    def summary(self) -> dict[str, Any]:
        return {
            "clusterName": self.cluster_name,
            "namespace": self.namespace,
            "serviceAccount": self.service_account,
            "associationArn": self.association_arn,
            "associationId": self.association_id,
        }


class AssociatingEKS(StandInBackend, EKSBackend):
    service_package = "moto.eks"

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.associations: dict[str, Association] = {}

    def associate(
        self, cluster: str, namespace: str, service_account: str, role_arn: str, tags: Mapping[str, str]
    ) -> Association:
        self.describe_cluster(cluster)
        existing = self.association_of(cluster, namespace, service_account)
        if existing is not None:
            raise ResourceInUseException(message=f"Association already exists: {existing.association_id}")
        self._check_role(role_arn)
        association_id = "a-" + "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
        place = f"arn:{self.partition}:eks:{self.region_name}:{self.account_id}"
        arn = f"{place}:podidentityassociation/{cluster}/{association_id}"
        made = Association(cluster, namespace, service_account, role_arn, arn, association_id, dict(tags))
        self.associations[association_id] = made
        self.publish()
        return made

    def association(self, cluster: str, association_id: str) -> Association:
        self.describe_cluster(cluster)
        found = self.associations.get(association_id)
        if found is None or found.cluster_name != cluster:
            raise ResourceNotFoundException(message=f"Association not found: {association_id}")
        return found

    def association_of(self, cluster: str, namespace: str, service_account: str) -> Association | None:
        wanted = (cluster, namespace, service_account)
        for one in self.associations.values():
            if (one.cluster_name, one.namespace, one.service_account) == wanted:
                return one
        return None

    def reassociate(self, cluster: str, association_id: str, role_arn: str) -> Association:
        found = self.association(cluster, association_id)
        self._check_role(role_arn)
        found.role_arn, found.modified_at = role_arn, utcnow()
        return found

    def dissociate(self, cluster: str, association_id: str) -> Association:
        found = self.association(cluster, association_id)
        del self.associations[association_id]
        self.publish()
        return found

    def tagged(self, arn: str) -> Association | None:
        return next((one for one in self.associations.values() if one.association_arn == arn), None)

    def publish(self) -> None:
        """Tell the node. Only the sandbox's own cluster has one."""
        if _publication is not None:
            own = [one for one in self.associations.values() if one.cluster_name == CLUSTER]
            accounts = sorted(f"{one.namespace}/{one.service_account}" for one in own)
            write_json(_publication.file, {"credentials": _publication.url, "serviceAccounts": accounts})

    def _check_role(self, arn: str) -> None:
        if role_of(self.account_id, self.region_name, arn) is None:
            raise InvalidParameterException(message="Role provided in the request does not exist.")


@dataclass(frozen=True)
class Publication:
    file: Path
    url: str
    """Where pods get their credentials."""


_publication: Publication | None = None


def associations() -> AssociatingEKS:
    """The associations of the sandbox's account and region."""
    backend = eks_backends[ACCOUNT][REGION]
    assert isinstance(backend, AssociatingEKS)
    return backend


class _Response(EKSResponse):
    """moto calls the method of `EKSResponse` named like the action; `install` adds these methods."""

    def create_pod_identity_association(self) -> ActionResult:
        made = _backend(self).associate(
            self._get_param("name"),
            self._get_param("namespace"),
            self._get_param("serviceAccount"),
            self._get_param("roleArn"),
            self._get_param("tags") or {},
        )
        return ActionResult({"association": made.described()})

    def describe_pod_identity_association(self) -> ActionResult:
        found = _backend(self).association(self._get_param("name"), self._get_param("associationId"))
        return ActionResult({"association": found.described()})

    def list_pod_identity_associations(self) -> ActionResult:
        backend, cluster = _backend(self), self._get_param("name")
        backend.describe_cluster(cluster)
        namespace, account = self._get_param("namespace"), self._get_param("serviceAccount")
        found = [
            one.summary()
            for one in backend.associations.values()
            if one.cluster_name == cluster
            and namespace in (None, one.namespace)
            and account in (None, one.service_account)
        ]
        return ActionResult({"associations": found})

    def update_pod_identity_association(self) -> ActionResult:
        changed = _backend(self).reassociate(
            self._get_param("name"), self._get_param("associationId"), self._get_param("roleArn")
        )
        return ActionResult({"association": changed.described()})

    def delete_pod_identity_association(self) -> ActionResult:
        gone = _backend(self).dissociate(self._get_param("name"), self._get_param("associationId"))
        return ActionResult({"association": gone.described()})

    def tag_resource(self) -> ActionResult:
        found = _backend(self).tagged(self._extract_arn_from_path())
        if found is None:
            return _MOTOS_TAG(self)
        found.tags.update(self._get_param("tags"))
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        found = _backend(self).tagged(self._extract_arn_from_path())
        if found is None:
            return _MOTOS_UNTAG(self)
        for name in self.querystring.get("tagKeys", []):
            found.tags.pop(name, None)
        return ActionResult({})


_MOTOS_TAG, _MOTOS_UNTAG = EKSResponse.tag_resource, EKSResponse.untag_resource
_ACTIONS = [name for name in vars(_Response) if not name.startswith("_")]


def _backend(response: EKSResponse) -> AssociatingEKS:
    backend = response.eks_backend
    assert isinstance(backend, AssociatingEKS)
    return backend


def install(publication: Publication) -> None:
    """Put this EKS in place of moto's. Call before the first request."""
    global _publication
    _publication = publication
    eks_backends.backend = AssociatingEKS
    for name in _ACTIONS:
        setattr(EKSResponse, name, vars(_Response)[name])
    urls.url_paths[f"{_PATH}$"] = urls.response.dispatch
    urls.url_paths[f"{_PATH}/(?P<associationId>[^/]+)$"] = urls.response.dispatch
