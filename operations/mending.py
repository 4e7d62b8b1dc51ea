"""One step of `recover`: the problem, the remedy and how to apply it. The commonest step deletes an orphan. Has the
command of an import that is left to a person, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from operations.cluster import Cluster, ClusterError, Document
from operations.ownership import made_by_the_engine, maker

# Seconds. Pods have thirty seconds to end, and their namespace goes after them.
_GONE_TIMEOUT = 120.0
_POLL = 0.3


@dataclass(frozen=True)
class Step:
    """Something to repair: problem, remedy and action. A step without `act` is advice."""

    problem: str
    remedy: str
    act: Callable[[], str] | None = None
    """Applies the remedy and returns what it did."""
    option: str = ""
    """The option that this step needs beside `--yes` to be done without a prompt."""


def orphan(cluster: Cluster, kind: str, found: Document, namespace: str | None, stack: str, more: str = "") -> Step:
    """The step for an object that the state does not know. Deletion waits until the object is gone: until then its name
    is taken.

    stack: our full name. Objects that another stack made, or whose maker is unknown, are left alone.
    """
    name = str(found["metadata"]["name"])
    where = f" in {namespace}" if namespace else ""
    problem = f"{kind} {name}{where} exists, and the state does not know it"
    other = maker(found)
    if not made_by_the_engine(found):
        return Step(problem, "somebody else made it: rename or remove it yourself, or give the stack another name")
    if other is None:
        return Step(
            problem,
            "it does not say which stack made it: leave it if another did; if an earlier version of the program made "
            f"it for this stack, delete it: `{cluster.kubectl(namespace or '')} delete {kind.lower()} {name}`",
        )
    if other != stack:
        return Step(problem, f"leave it, the stack {other} made it: give one of the two another namespace or name")

    def delete() -> str:
        cluster.delete(kind, name, namespace)
        deadline = time.monotonic() + _GONE_TIMEOUT
        while cluster.get(kind, name, namespace) is not None:
            # The next `up` cannot create the object before its name is free.
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{kind} {name}{where} is still being deleted after {_GONE_TIMEOUT:g} s: a finalizer holds it, "
                    "or something in it; `diagnose` says what a namespace waits for"
                )
            time.sleep(_POLL)
        return "deleted"

    return Step(problem, " ".join(filter(None, ["delete it", more, "(the next `up` makes it again)"])), delete)


def import_by_hand(
    stack: str, kind: str, name: str, identity: str, *, parent: str, provider: str, protect: bool = False
) -> str:
    """The `pulumi import` of an object as the resource of that type and name. `parent` is `<word>=<URN>`: the word
    stands for the URN in the command. `provider` likewise, with the plugin's name. protect: until the next `up`
    decides."""
    return (
        f"with the URNs of `pulumi stack --show-urns`: pulumi import {kind} {name} {identity} --stack {stack} "
        f"{'' if protect else '--protect=false '}--generate-code=false --parent {parent} --provider {provider}"
    )
