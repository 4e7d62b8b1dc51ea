"""The dependency graph of a stack with its critical path: what an `up` from nothing waits for, and how long.

Owns the path and its picture. The edges come from the engine's preview, the durations from `durations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from operations.durations import duration, in_words
from operations.preview.document import Preview, Step
from operations.preview.drawing import Node, draw
from operations.preview.style import STYLE


@dataclass(frozen=True)
class CriticalPath:
    """The longest chain of resources that wait for each other, first to last."""

    chain: Sequence[Step]
    seconds: float
    one_by_one: float
    """Seconds for the same resources one after another, as when made by hand."""
    count: int
    beside: Sequence[str]
    """Names of the resources that do not wait for the slowest one, even indirectly."""

    def lines(self) -> list[str]:
        """Text for people: the total, the chain, and how many do not wait."""
        if not self.chain:
            return ["nothing is made, so nothing waits"]
        share = self.seconds / self.one_by_one if self.one_by_one else 1.0
        slowest = max(self.chain, key=lambda step: duration(step.type).seconds)
        links = " > ".join(f"{step.name} ({in_words(duration(step.type).seconds)})" for step in self.chain)
        return [
            f"critical path: {in_words(self.seconds)} of {in_words(self.one_by_one)} one after the other "
            f"({share:.0%}), {len(self.chain)} of {self.count} resources",
            f"  {links}",
            f"  {slowest.name}: {duration(slowest.type).source}",
            f"{len(self.beside)} of {self.count} resources do not wait for {slowest.name}",
        ]


def resources(preview: Preview) -> dict[str, Step]:
    """The steps of resources that exist outside the program, by URN; without providers."""
    return {
        step.urn: step
        for step in preview.steps
        if step.is_custom and not step.type.startswith("pulumi:") and step.operation != "delete"
    }


def critical_path(steps: Mapping[str, Step]) -> CriticalPath:
    """The chain whose durations have the largest sum."""
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for urn in _in_order(steps):
        first = max(_known(steps, urn), key=lambda one: (ends[one], one), default=None)
        before[urn] = first
        ends[urn] = duration(steps[urn].type).seconds + (ends[first] if first is not None else 0.0)
    last = max(ends, key=lambda one: (ends[one], one), default=None)
    chain: list[Step] = []
    here = last
    while here is not None:
        chain.insert(0, steps[here])
        here = before[here]
    return CriticalPath(
        chain=chain,
        seconds=ends[last] if last is not None else 0.0,
        one_by_one=sum(duration(step.type).seconds for step in steps.values()),
        count=len(steps),
        beside=_beside(steps, chain),
    )


def picture(steps: Mapping[str, Step], path: CriticalPath, title: str) -> str:
    """A standalone SVG. Colour, a sign and line style mark the chain."""
    critical = {step.urn for step in path.chain}
    nodes = [
        Node(
            key=urn,
            name=step.name,
            kind=f"{step.type.rsplit(':', 1)[-1]}, {in_words(duration(step.type).seconds)}",
            sign="▶" if urn in critical else "·",
            colour="amber" if urn in critical else "same",
            anchor="",
            label=f"{step.name}: {in_words(duration(step.type).seconds)}{', on the critical path' * (urn in critical)}",
            dependencies=_known(steps, urn),
        )
        for urn, step in steps.items()
    ]
    head, rest = draw(nodes, title).split("\n", 1)
    return f"{head}\n<title>{title}</title>\n<style>{STYLE}</style>\n{rest}\n"


def _known(steps: Mapping[str, Step], urn: str) -> list[str]:
    return [one for one in steps[urn].dependencies if one in steps and one != urn]


def _in_order(steps: Mapping[str, Step]) -> list[str]:
    """Dependencies first. The engine's graph has no cycles."""
    return list(TopologicalSorter({urn: _known(steps, urn) for urn in steps}).static_order())


def _beside(steps: Mapping[str, Step], chain: Sequence[Step]) -> list[str]:
    if not chain:
        return []
    slowest = max(chain, key=lambda step: duration(step.type).seconds).urn
    waiting = {slowest}
    for urn in _in_order(steps):
        if waiting.intersection(_known(steps, urn)):
            waiting.add(urn)
    return sorted(step.name for urn, step in steps.items() if urn not in waiting)
