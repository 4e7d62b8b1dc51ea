"""RDS parameter and subnet groups: the rules that moto lacks, and what a changed group means for the servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import (
    DBParameterGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend
from moto.rds.responses import RDSResponse

from sandbox.cloud import parameters
from sandbox.cloud.api_state import state
from sandbox.cloud.instances import has_server, specification_of
from sandbox.cloud.neighbours import StandInBackend
from sandbox.cloud.programs import Installation, find_installation


class InvalidState(RDSClientError):
    """The object is in use or in the wrong state; `code` names the kind of object."""

    def __init__(self, code: str, message: str):
        super().__init__(code, message)


class GroupRules(StandInBackend, RDSBackend):
    service_package = "moto.rds"

    def modify_db_parameter_group(
        self, db_parameter_group_name: str, db_parameter_group_parameters: Iterable[dict[str, Any]]
    ) -> DBParameterGroup:
        changed = list(db_parameter_group_parameters)
        existing = self.db_parameter_groups.get(db_parameter_group_name)
        installation = _installation_of(existing)
        if installation is not None:
            for parameter in changed:
                _check(parameter, installation)
        group = super().modify_db_parameter_group(db_parameter_group_name, changed)
        self._apply(group)
        return group

    def reset_db_parameter_group(
        self, db_parameter_group_name: str, reset_all_parameters: bool, names: list[str]
    ) -> DBParameterGroup:
        """Reset parameters to their defaults. moto lacks the call."""
        group = self.db_parameter_groups.get(db_parameter_group_name)
        if group is None:
            raise DBParameterGroupNotFoundError(db_parameter_group_name)
        for name in list(group.parameters) if reset_all_parameters else names:
            group.parameters.pop(name, None)
        self._apply(group)
        return group

    def delete_db_parameter_group(self, db_parameter_group_name: str) -> DBParameterGroup:
        if self._members(db_parameter_group_name):
            raise InvalidState(
                "InvalidDBParameterGroupState",
                "One or more database instances are still members of this parameter group "
                f"{db_parameter_group_name}, so the group cannot be deleted.",
            )
        return super().delete_db_parameter_group(db_parameter_group_name)

    def modify_db_subnet_group(self, subnet_name: str, description: str, subnets: list[Any]) -> Any:
        """Keeps the changed group in the list, from which moto drops it."""
        self.subnet_groups[subnet_name] = super().modify_db_subnet_group(subnet_name, description, subnets)
        return self.subnet_groups[subnet_name]

    def delete_subnet_group(self, subnet_name: str) -> Any:
        users = [
            one.db_instance_identifier
            for one in self.databases.values()
            if getattr(one, "_db_subnet_group_name", None) == subnet_name
        ]
        if users:
            raise InvalidState(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: {users[0]} "
                "is still using it.",
            )
        return super().delete_subnet_group(subnet_name)

    def _members(self, group_name: str) -> list[DBInstance]:
        return [one for one in self.databases.values() if one.db_parameter_group_name == group_name]

    def _apply(self, group: DBParameterGroup) -> None:
        for database in self._members(group.name):
            if has_server(database) and database.status == "available":
                state().fleet.change(specification_of(database))


def _installation_of(group: DBParameterGroup | None) -> Installation | None:
    return find_installation(group.family.removeprefix("postgres")) if group is not None and group.family else None


def _check(parameter: dict[str, Any], installation: Installation) -> None:
    name = parameter["ParameterName"]
    reason = parameters.refusal(name, installation)
    if reason:
        raise InvalidParameterValue(reason)
    static = parameters.needs_restart(name, installation)
    if static and parameter.get("ApplyMethod") == "immediate":
        raise InvalidParameterCombination(f"cannot use immediate apply method for static parameter {name}")
    parameter["ApplyType"] = "static" if static else "dynamic"
    parameter["Source"] = "user"
    parameter["IsModifiable"] = True
    if parameters.is_default(name, str(parameter.get("ParameterValue", "")), installation):
        # To RDS that is no modification, so it does not keep the apply method either (terraform-provider-aws #39252).
        parameter |= {"Source": "system", "ApplyMethod": "pending-reboot"}


def _reset_db_parameter_group(response: RDSResponse) -> ActionResult:
    given = response.params
    group = response.backend.reset_db_parameter_group(
        given["DBParameterGroupName"],
        bool(given.get("ResetAllParameters")),
        [parameter["ParameterName"] for parameter in given.get("Parameters", [])],
    )
    return ActionResult({"DBParameterGroupName": group.name})


def install() -> None:
    RDSResponse.reset_db_parameter_group = _reset_db_parameter_group
