"""The page: whole, self-contained, escaped."""

import base64
import re
from html.parser import HTMLParser

import imageio.v3 as imageio
import numpy as np
import pytest

from axiswise.plots import Picture, Preformatted, Section, Table, report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page, and fails where its tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.cells, self.text = [], [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data
        if "style" not in self.open:
            self.text += data

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def encoded(suffix):
    film = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    plugin, how = ("pyav", {"codec": "libx264"}) if suffix == ".mp4" else ("pillow", {})
    shown = film[0] if suffix == ".png" else film
    return imageio.imwrite("<bytes>", shown, extension=suffix, plugin=plugin, **how)


def whole_page():
    pictures = [Picture(encoded(s), f"A {s} file.") for s in (".png", ".gif", ".mp4")]
    scores = Table(["score", "value"], [["MIG", 0.123456], ["samples", 10000], ["SAP", None]])
    config = Preformatted("data:\n  radius: 5.17\n")
    return report(
        "A run",
        [
            Section("Pictures", pictures),
            Section("Scores", [scores], "Few."),
            Section("C", [config]),
        ],
        "In short.",
    )


def test_the_page_is_well_formed_and_holds_everything():
    page = Page(whole_page())
    assert page.tags.count("img") == 2
    assert page.tags.count("video") == 1
    assert page.cells == ["score", "value", "MIG", "0.1235", "samples", "10000", "SAP", "–"]
    for text in ("A run", "In short.", "Few.", "A .png file.", "data:\n  radius: 5.17\n"):
        assert text in page.text


def test_pictures_are_embedded_byte_for_byte():
    sources = Page(whole_page()).values("src")
    for source, suffix, kind in zip(
        sources, (".png", ".gif", ".mp4"), ("image/png", "image/gif", "video/mp4"), strict=True
    ):
        head, data = source.split(",")
        assert head == f"data:{kind};base64"
        assert base64.b64decode(data, validate=True) == encoded(suffix)


def test_nothing_is_fetched_from_anywhere():
    html = whole_page()
    page = Page(html)
    assert all(source.startswith("data:") for source in page.values("src"))
    anchors = set(page.values("id"))
    assert all(link[0] == "#" and link[1:] in anchors for link in page.values("href"))
    assert not {"link", "script", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", html)
    (policy,) = [v for v in page.values("content") if v and "default-src" in v]
    assert policy.startswith("default-src 'none';")


def test_whatever_text_is_given_is_escaped():
    evil = "</p><script>alert('&')</script>\" onload=\"x"
    section = Section(
        evil,
        [Picture(encoded(".png"), evil), Table([evil], [[evil]], evil), Preformatted(evil)],
        evil,
    )
    page = Page(report(evil, [section, section], evil))
    assert "script" not in page.tags
    assert "onload" not in [name for _, name, _ in page.attributes]
    assert page.values("alt") == [evil, evil]
    # Title, h1, summary; for each section: link, h2, text, figcaption, and the table's three, pre.
    assert page.text.count(evil) == 3 + 2 * 8


def test_a_lone_section_has_no_list_of_contents():
    assert "nav" not in Page(report("A", [Section("B", [])])).tags


def test_wrong_blocks_are_refused():
    def one(block):
        return report("A", [Section("B", [block])])

    with pytest.raises(ValueError, match=r"`data` must be a PNG, GIF or MP4 file, got .*<svg"):
        one(Picture(b"<svg></svg>", "A drawing."))
    with pytest.raises(ValueError, match="`caption` of a picture must be a sentence"):
        one(Picture(encoded(".png"), " "))
    with pytest.raises(ValueError, match="`rows` must have 2 cells like `header`, got 1 in row 1"):
        one(Table(["a", "b"], [[1, 2], [3]]))
    with pytest.raises(
        TypeError, match="`blocks` must hold Picture, Table or Preformatted, got str"
    ):
        one("text")
