"""Proves that a Teleport release kept everything its owner had put into it: values, volumes and annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from operator import eq
from typing import Any

from components.teleport_values import CHECKSUM_ANNOTATION, effective_auth_values
from components.values_files import find_secret_values, join_path, merge_values
from operations.cluster import Document, name_of
from operations.findings import Finding, failed, not_proven, passed

_APPENDED = ("extraVolumes", "extraVolumeMounts")


def given_again(entry: str) -> str:
    """How a release of the stack gets its values again after somebody upgraded it or rolled it back by hand. `entry` is
    its configuration key: `accessGraph`, or `teleport.<cluster>`.

    A refresh merges Helm's recorded values over those the engine gave. It therefore notices changed values and another
    chart version, but no values that were removed or added. Source: pulumi-kubernetes,
    provider/pkg/provider/helm_release.go.
    """
    return (
        "`up --refresh`, which sees changed values and a changed chart; no preview shows what an upgrade by hand left "
        f"out or added: for that change {entry}.timeoutSeconds by a second and `up`, which gives the release all its "
        "values again"
    )


def check_values(
    teleport: str,
    users: Mapping[str, Any],
    live: Mapping[str, Any],
    source: str,
    *,
    check: str = "values",
    remedy: str = "put them into the files, and run `up`",
    secret_values: bool = False,
) -> Finding:
    """Whether the live release has every value of `users`; its lists may have more entries. `source` names their origin
    in texts. With `secret_values`, secret values are merged over them, and a different value is not proven wrong."""
    check = f"teleport.{teleport}.{check}"
    statement = f"the release of {teleport} has every value of {source}"
    unlike = [*unlike_values(users, live)]
    missing = [path for path, is_there in unlike if not (is_there and secret_values)]
    for key in _APPENDED:
        mine, now = (effective_auth_values(values).get(key) or [] for values in (users, live))
        missing += [f"auth.{key} {_entry(entry)}" for entry in mine if entry not in now]
    if missing:
        return failed(check, statement, f"missing or other: {'; '.join(missing)}; {remedy}")
    if unlike:
        reason = f"other: {'; '.join(path for path, _ in unlike)}; teleportSecretValues, a secret key, should have them"
        return not_proven(check, statement, reason)
    return passed(check, statement, f"{len([*_leaves(users)])} values, all there")


def check_workload(teleport: str, role: str, users: Mapping[str, Any], deployment: Document) -> list[Finding]:
    """The user's volumes, mounts and annotations in the live Deployment of `role` (auth or proxy)."""
    effective = effective_auth_values(users) if role == "auth" else _effective(users, role)
    template, where = deployment["spec"]["template"], f"the Deployment {name_of(deployment)}"
    containers = [one for one in template["spec"]["containers"] if one["name"] == "teleport"]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or []]
    volumes = template["spec"].get("volumes") or []
    gone = [
        *(f"volume {_entry(one)}" for one in effective.get("extraVolumes") or [] if not _is_in(one, volumes)),
        *(f"mount {_entry(one)}" for one in effective.get("extraVolumeMounts") or [] if not _is_in(one, mounts)),
    ]
    count = sum(len(effective.get(key) or []) for key in _APPENDED)
    findings = [
        _finding(f"teleport.{teleport}.{role}-volumes", f"{role} of {teleport} has its own volumes", gone, count, where)
    ]
    annotations = effective.get("annotations") or {}
    gone, count = [], 0
    for kind, present in (("pod", template["metadata"]), ("deployment", deployment["metadata"])):
        wanted = annotations.get(kind) or {}
        count += len(wanted)
        now = present.get("annotations") or {}
        gone += [f"{kind} annotation {key}: {value!r}" for key, value in wanted.items() if now.get(key) != value]
    findings.append(
        _finding(
            f"teleport.{teleport}.{role}-annotations",
            f"{role} of {teleport} has its own annotations",
            gone,
            count,
            where,
        )
    )
    return findings


def unlike_values(users: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Paths of `users` where `live` has nothing or something else, with whether it has something. Only paths are told:
    a value may be secret."""
    for path, value in _leaves(users):
        if path[-1] in _APPENDED:
            continue
        here: Any = live
        for key in path:
            here = here.get(key, _ABSENT) if isinstance(here, Mapping) else _ABSENT
        if (value is None and (here is _ABSENT or _is_patched(path))) or (value == {} and isinstance(here, Mapping)):
            continue  # has the same meaning for the chart
        if here != value:
            yield _shown(path), here is not _ABSENT


_ABSENT = object()
# Where the patch writes. It replaces an empty value (`key:`) that stood there.
_PATCHED = (("auth", "teleportConfig", "access_graph"), ("auth", "annotations", "pod", CHECKSUM_ANNOTATION))


def _is_patched(path: tuple[str, ...]) -> bool:
    """Whether the patch writes to this path, above or below it."""
    return any(all(map(eq, path, patched)) for patched in _PATCHED)


def differences(files: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Where the two differ, as `+ path` (live only), `- path` (files only) and `~ path` (in both, with different
    values)."""
    in_files, in_live = dict(_leaves(files)), dict(_leaves(live))
    lines = []
    for path in sorted({*in_files, *in_live}):
        if path in in_files and path in in_live:
            if not _are_same(path, in_files[path], in_live[path]):
                lines.append(f"~ {_shown(path)}")
        # Removing the patch also removes a map that held nothing else. An empty value there said nothing, so it is no
        # difference.
        elif not _is_patched(path) or in_files.get(path, in_live.get(path)) not in (None, {}):
            lines.append(f"{'-' if path in in_files else '+'} {_shown(path)}")
    return lines


def _are_same(path: tuple[str, ...], one: Any, other: Any) -> bool:
    # For appended lists, a missing list and an empty one are the same.
    return bool(one == other) or (path[-1] in _APPENDED and (one or []) == (other or []))


def open_differences(lines: list[str], live: Mapping[str, Any]) -> list[str]:
    """The `differences`, without values that are in `live` alone and look like secrets."""
    secret = [f"+ {path}" for path in find_secret_values(live)]
    return [line for line in lines if not any(one == line or one.startswith(f"{line}[") for one in secret)]


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values. Lists are leaves, as for Helm; so are empty maps."""
    for key, inner in value.items():
        here = (*path, str(key))
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, here)
        else:
            yield here, inner


def _shown(path: tuple[str, ...]) -> str:
    text = ""
    for key in path:
        text = join_path(text, key)
    return text


def _effective(users: Mapping[str, Any], role: str) -> dict[str, Any]:
    own = users.get(role)
    return merge_values(users, own) if isinstance(own, Mapping) else dict(users)


def _is_in(wanted: Mapping[str, Any], present: list[Any]) -> bool:
    """Whether `present` contains the wanted entry. The API server adds defaults (`defaultMode`), drops empty fields
    (`readOnly: false`), and rewrites quantities (`1024Mi` as `1Gi`)."""
    return any(_covers(one, wanted) for one in present)


def _covers(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(present, Mapping) and all(
            _covers(present[key], value) if key in present else value in _DROPPED for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(present, list)
            and len(present) == len(wanted)
            and all(_covers(one, other) for one, other in zip(present, wanted, strict=True))
        )
    return bool(present == wanted) or (_amount(wanted) is not None and _amount(present) == _amount(wanted))


# An empty map is not here: it says which source a volume has (`emptyDir: {}`).
_DROPPED: tuple[Any, ...] = (None, False, "", [])
_AMOUNT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?")
_THOUSANDS = {"n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def _amount(value: Any) -> Decimal | None:
    """A quantity of Kubernetes as a number:
    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
    match = None if isinstance(value, bool) else _AMOUNT.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix.endswith("i"):
        return number * Decimal(1024) ** " KMGTPE".index(suffix[0])
    if suffix in _THOUSANDS:
        return number * Decimal(1000) ** _THOUSANDS[suffix]
    return number * Decimal(f"1{suffix}") if suffix else number


def _entry(entry: Any) -> str:
    """A volume or mount by name, with its path if it has one."""
    if not isinstance(entry, Mapping):
        return repr(entry)
    at = f" at {entry['mountPath']}" if "mountPath" in entry else ""
    return f"{entry.get('name')!r}{at}"


def _finding(check: str, statement: str, gone: list[str], count: int, where: str) -> Finding:
    if gone:
        return failed(check, statement, f"gone: {'; '.join(gone)}; compare {where} with the values files")
    return passed(check, statement, f"{count} of {count}" if count else "it has none of its own")
