"""The page: whole, self-contained, escaped."""

import base64
import re
from functools import cache
from html.parser import HTMLParser

import imageio.v3 as imageio
import numpy as np
import pytest

from axiswise.plots import Clip, Gallery, Picture, Preformatted, Section, Table, report

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

    def names_of(self, tag):
        return [name for of, name, _ in self.attributes if of == tag]

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


@cache
def encoded(suffix):
    film = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    plugin, how = ("pyav", {"codec": "libx264"}) if suffix == ".mp4" else ("pillow", {})
    shown = film[0] if suffix in (".png", ".jpg") else film
    return imageio.imwrite("<bytes>", shown, extension=suffix, plugin=plugin, **how)


def clip(**change):
    given = {
        "name": "7",
        "strip": encoded(".png"),
        "video": encoded(".mp4"),
        "poster": encoded(".jpg"),
        "caption": "Something moves.",
        "value": "12.3",
        "share": 0.25,
    }
    return Clip(**given | change)


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


def test_a_gallery_s_films_are_behind_their_strips_and_are_not_read_before_they_are_played():
    page = Page(report("A", [Section("B", [Gallery([clip(), clip(name="9")])])]))
    shown = [tag for tag in page.tags if tag in ("details", "summary", "img", "video", "script")]
    assert shown == ["details", "summary", "img", "video"] * 2
    assert page.names_of("details") == []  # closed
    assert {"loop", "muted", "playsinline", "controls"} <= set(page.names_of("video"))
    assert "autoplay" not in page.names_of("video")
    assert page.values("preload") == ["none", "none"]
    assert "7" in page.text
    assert "12.3" in page.text
    files = [base64.b64decode(source.split(",")[1]) for source in page.values("src")]
    assert files == [encoded(".png"), encoded(".mp4")] * 2
    head, poster = page.values("poster")[0].split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(poster) == encoded(".jpg")


def test_a_clip_s_bar_is_as_long_as_its_share_and_left_out_without_one():
    clips = [clip(share=0.25), clip(share=1), clip(share=0.0), clip(share=None)]
    page = Page(report("A", [Section("B", [Gallery(clips)])]))
    assert page.values("style") == ["width: 25.0%", "width: 100.0%", "width: 0.0%"]


def test_whatever_text_is_given_is_escaped():
    evil = "</p><script>alert('&')</script>\" onload=\"x"
    section = Section(
        evil,
        [
            Picture(encoded(".png"), evil),
            Table([evil], [[evil]], evil),
            Preformatted(evil),
            Gallery([clip(name=evil, value=evil, caption=evil)]),
        ],
        evil,
    )
    page = Page(report(evil, [section, section], evil))
    assert "script" not in page.tags
    assert "onload" not in [name for _, name, _ in page.attributes]
    assert page.values("alt") == [evil] * 4
    assert page.values("aria-label") == [evil] * 2
    # Title, h1, summary; for each section: link, h2, text, figcaption, the table's three, pre, and
    # the clip's two.
    assert page.text.count(evil) == 3 + 2 * 10


def test_a_lone_section_has_no_list_of_contents():
    assert "nav" not in Page(report("A", [Section("B", [])])).tags


def test_wrong_blocks_are_refused():
    def one(block):
        return report("A", [Section("B", [block])])

    with pytest.raises(
        ValueError, match=r"`data` must be a PNG, JPEG, GIF or MP4 file, got .*<svg"
    ):
        one(Picture(b"<svg></svg>", "A drawing."))
    with pytest.raises(ValueError, match="`caption` of a picture must be a sentence"):
        one(Picture(encoded(".png"), " "))
    with pytest.raises(ValueError, match="`caption` of a picture must be a sentence"):
        one(Gallery([clip(caption="")]))
    with pytest.raises(ValueError, match=r"`share` must be between 0 and 1, got 1\.5"):
        one(Gallery([clip(share=1.5)]))
    with pytest.raises(ValueError, match="`rows` must have 2 cells like `header`, got 1 in row 1"):
        one(Table(["a", "b"], [[1, 2], [3]]))
    with pytest.raises(
        TypeError, match="`blocks` must be Picture, Gallery, Table or Preformatted, got str"
    ):
        one("text")
