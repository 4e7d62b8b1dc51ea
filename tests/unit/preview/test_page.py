"""The page is self-contained and well-formed, links what it shows, and conveys nothing by colour alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from operations.preview.judgement import assess
from operations.preview.page import graph_nodes, page
from operations.preview.style import STYLE
from tests.unit.preview.previews import SECRET, preview_of, recorded, step, urn

pytestmark = pytest.mark.unit

NAMES = ["first", "quiet", "replicas", "other-host-authority", "renewed-authority", "replaced-database", "switched-off"]
VOID = {"meta", "rect", "path"}


class Page(HTMLParser):
    """Collects elements by name with their attributes; fails when an element is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "refused", "drift", "conflict"])
def test_it_is_well_formed_and_stands_alone(name: str) -> None:
    text = page(recorded(name), stack="dev")
    parsed = Page(text)
    assert not [tag for tag, _ in parsed.elements if tag in ("script", "link", "img", "iframe", "form", "base")]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in parsed.elements)
    assert not [attributes for _, attributes in parsed.elements if any(key.startswith("on") for key in attributes)]
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    policy = parsed.all("meta")[1]
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere_and_every_place_is_one(name: str) -> None:
    parsed = Page(page(recorded(name), stack="dev"))
    places = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    links = {(attributes.get("href") or "#")[1:] for attributes in parsed.all("a")}
    assert links <= set(places)
    doubled = {place for place in places if places.count(place) > 1}
    # A resource that is imported and then updated has two steps.
    assert doubled == (
        {
            "r-teleport-access-graph-index-TeleportCluster-kubernetes-helm-sh-v3-Release--"
            "teleport-teleport-example-com-release"
        }
        if name == "first"
        else set()
    )


def test_the_graph_has_every_resource_once_and_says_in_words_what_happens_to_it() -> None:
    preview = recorded("replaced-database")
    nodes = graph_nodes(preview, assess(preview))
    assert len(nodes) == 32
    assert len({node.key for node in nodes}) == 32
    assert {node.name: (node.colour, node.sign, node.label) for node in nodes}["database-instance"] == (
        "red",
        "±",
        "database-instance: replace, cannot be undone",
    )
    labels = [attributes.get("aria-label") for attributes in Page(page(preview, stack="dev")).all("a")]
    assert "database-instance: replace, cannot be undone" in labels
    assert "namespace-namespace: unchanged" in labels


def test_it_has_a_language_a_title_a_heading_and_regions_that_the_keyboard_reaches() -> None:
    parsed = Page(page(recorded("renewed-authority"), stack="dev"))
    assert parsed.all("html")[0]["lang"] == "en"
    assert len(parsed.all("h1")) == 1
    assert len(parsed.all("main")) == 1
    (graph,) = [one for one in parsed.all("div") if "graph" in (one.get("class") or "")]
    assert (graph["tabindex"], graph["role"]) == ("0", "region")
    assert all(one.get("scope") == "col" for one in parsed.all("th"))


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_have_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    palettes = re.findall(r":root \{([^}]*--paper[^}]*)\}", STYLE)
    assert len(palettes) == 2
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", palettes[scheme]))
    pairs = [("ink", "paper"), ("quiet", "paper"), ("link", "paper"), ("ink", "raised"), ("quiet", "raised")]
    pairs += [(name, f"{name}-fill") for name in ("red", "amber", "green", "plain")]
    pairs += [("ink", f"{name}-fill") for name in ("red", "amber", "green", "plain")]
    assert {
        pair: round(contrast(*(colours[name] for name in pair)), 1)
        for pair in pairs
        if contrast(*(colours[name] for name in pair)) < 4.5
    } == {}


@pytest.mark.slow
def test_five_hundred_resources_show_what_changes_first() -> None:
    steps = [
        step(
            "update" if number % 50 == 0 else "same",
            SECRET,
            f"r{number}",
            old={"a": "1"},
            new={"a": str(number % 50)},
            dependencies=[urn(SECRET, f"r{number - 1}")] if number else [],
        )
        for number in range(500)
    ]
    text = page(preview_of(*steps), stack="dev")
    assert "29 of 500 resources: what changes, and what it touches." in text
    assert "<summary>All 500 resources</summary>" in text
    assert len(Page(text).all("svg")) == 2


def test_no_character_shows_reviewers_another_text() -> None:
    """A mark of direction turns round what stands after it, and a control character may hide a part."""
    evil = "10.0.0.0/8\u202e0/0.0.0.0\u2066\x00\x1b[8m\u200b\nand more"
    steps = (step("delete", SECRET, evil), step("update", SECRET, "x", old={"a": "1"}, new={"a": evil}))
    text = page(preview_of(*steps, diagnostics=[{"severity": "info", "message": evil}]), stack="dev")
    assert re.search(r"[\u202e\u2066\x00\x1b\u200b]", text) is None
    assert r"<ins><pre>10.0.0.0/8\u202e0/0.0.0.0\u2066\x00\x1b[8m\u200b" + "\nand more</pre></ins>" in text


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x>', "'", "&lt;", "</title>"])
def test_no_text_of_a_preview_is_markup(evil: str) -> None:
    steps = (step("delete", SECRET, evil), step("update", SECRET, "x", old={evil: evil}, new={evil: "2"}))
    messages = [{"severity": "error", "message": evil, "urn": evil}, {"severity": "info", "message": evil}]
    text = page(preview_of(*steps, diagnostics=messages), stack=evil, commit=evil)
    parsed = Page(text)
    assert not [tag for tag, _ in parsed.elements if tag in ("script", "img")]
