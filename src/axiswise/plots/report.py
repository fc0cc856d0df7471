"""One HTML file with a run's pictures, scores and config, which needs no other file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Picture:
    """A picture or film."""

    data: bytes  # of a PNG, GIF or MP4 file
    caption: str  # a sentence that says what it shows, also to a screen reader


@dataclass(frozen=True)
class Table:
    """A table of text, numbers (floats get four significant digits) and None."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Clip:
    """A small picture that opens to a film.

    Attributes:
        name: One or two words, or a number.
        strip: A PNG or JPEG file, shown before the film is opened.
        video: An MP4 file; a browser reads it when it is played, and not before.
        poster: A PNG or JPEG file, as large as the film, shown until it is played.
        caption: A sentence for screen readers.
        value: A number as short text, or nothing.
        share: Length of a bar over the value, from 0 to 1; None for no bar.
    """

    name: str
    strip: bytes
    video: bytes
    poster: bytes
    caption: str
    value: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Gallery:
    """Many films, two in a row where the screen is wide."""

    clips: Sequence[Clip]


@dataclass(frozen=True)
class Preformatted:
    """Text that keeps its line breaks: a config as YAML, a command."""

    text: str


Block: TypeAlias = Picture | Gallery | Table | Preformatted


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    heading: str
    blocks: Sequence[Block]
    text: str = ""  # a paragraph under the heading


def report(title: str, sections: Sequence[Section], summary: str = "") -> str:
    """A whole HTML page that opens from disk, with no network and no other file.

    Pictures are embedded, all text is escaped, and a content security policy forbids the page to
    load anything or to run any script. It follows the reader's light or dark setting and fits a
    telephone.

    Args:
        title: The page's title.
        sections: The parts, in order.
        summary: A paragraph under the title, or nothing.

    Returns:
        HTML; write it as UTF-8.

    Raises:
        TypeError: A block that is none of Picture, Gallery, Table, Preformatted.
        ValueError: A picture that is not PNG, JPEG, GIF or MP4, or has no caption; a bar outside
            [0, 1]; a table row with another number of cells than the header.
    """
    body = [f"<h1>{escape(title)}</h1>"]
    if summary:
        body.append(f"<p>{escape(summary)}</p>")
    if len(sections) > 1:
        links = (f'<a href="#part{i}">{escape(s.heading)}</a>' for i, s in enumerate(sections))
        body.append(f"<nav>{' '.join(links)}</nav>")
    body += [_section(section, f"part{i}") for i, section in enumerate(sections)]
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(body))


def _section(section: Section, anchor: str) -> str:
    parts = [f'<section id="{anchor}">', f"<h2>{escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    return "\n".join([*parts, *(_block(block) for block in section.blocks), "</section>"])


def _block(block: Block) -> str:
    match block:
        case Picture():
            return _picture(block)
        case Gallery():
            clips = "\n".join(_clip(clip) for clip in block.clips)
            return f'<div class="gallery">\n{clips}\n</div>'
        case Table():
            return _table(block)
        case Preformatted():
            return f"<pre>{escape(block.text)}</pre>"
        case _:
            raise TypeError(
                "`blocks` must be Picture, Gallery, Table or Preformatted, "
                f"got {type(block).__name__}"
            )


def _picture(picture: Picture) -> str:
    source, caption = _source(picture.data), _caption(picture.caption)
    shown = f'<img src="{source}" alt="{caption}">'
    if source.startswith("data:video/mp4"):
        shown = (
            f'<video src="{source}" aria-label="{caption}" '
            "autoplay loop muted playsinline controls></video>"
        )
    return f'<figure><div class="wide">{shown}</div><figcaption>{caption}</figcaption></figure>'


def _clip(clip: Clip) -> str:
    caption = _caption(clip.caption)
    bar = ""
    if clip.share is not None:
        if not 0 <= clip.share <= 1:
            raise ValueError(f"`share` must be between 0 and 1, got {clip.share}")
        bar = f'<span class="bar" style="width: {100 * clip.share:.1f}%"></span>'
    return (
        f'<details><summary><span class="about"><b>{escape(clip.name)}</b>{bar}'
        f"<span>{escape(clip.value)}</span></span>"
        f'<img src="{_source(clip.strip)}" alt="{caption}" decoding="async"></summary>\n'
        # Else a browser would read forty films at once.
        f'<video src="{_source(clip.video)}" poster="{_source(clip.poster)}" preload="none" '
        f'aria-label="{caption}" loop muted playsinline controls></video></details>'
    )


def _caption(text: str) -> str:
    if not text.strip():
        raise ValueError("`caption` of a picture must be a sentence, got an empty one")
    return escape(text)


def _source(data: bytes) -> str:
    """An address that contains a whole file."""
    return f"data:{_media_type(data)};base64,{base64.b64encode(data).decode('ascii')}"


def _media_type(data: bytes) -> str:
    """A file's type, by its first bytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[4:8] == b"ftyp":
        return "video/mp4"
    raise ValueError(
        f"`data` must be a PNG, JPEG, GIF or MP4 file, got bytes that begin {data[:8]!r}"
    )


def _table(table: Table) -> str:
    for number, row in enumerate(table.rows):
        if len(row) != len(table.header):
            raise ValueError(
                f"`rows` must have {len(table.header)} cells like `header`, "
                f"got {len(row)} in row {number}"
            )
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "\n".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    text = "–" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return f'<td class="number">{text}</td>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root {
  --ground: #fdfdfc; --text: #1d1f21; --muted: #5c6166; --line: #dcdedf; --soft: #f2f3f3;
  --accent: #0b62a0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #16181a; --text: #e4e5e6; --muted: #a0a5aa; --line: #34383c; --soft: #1f2225;
    --accent: #7cbcf0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", sans-serif;
}
main { max-width: 80rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 {
  font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line);
}
p { max-width: 46rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 1.25rem 0; }
img, video {
  /* On a telephone a wide picture scrolls, or its labels could not be read. */
  display: block; max-width: max(100%, 44rem); height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 6px;
}
figcaption, caption { color: var(--muted); font-size: .9rem; text-align: left; }
figcaption { margin-top: .4rem; max-width: 46rem; }
caption { padding-bottom: .4rem; }
video { max-width: 100%; }
.gallery {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 36rem), 1fr));
  column-gap: 1.5rem; align-items: start; margin: 1.25rem 0;
}
details { border-bottom: 1px solid var(--line); padding: .3rem 0; }
details video { margin: .5rem 0; }
summary { display: flex; align-items: center; gap: .75rem; cursor: pointer; }
summary::before { content: "▸"; color: var(--accent); width: .75rem; }
details[open] > summary::before { content: "▾"; }
summary img { min-width: 0; max-width: 100%; flex: 0 1 auto; border: 0; border-radius: 3px; }
.about { flex: 0 0 4rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.about > * { display: block; }
.about > span { color: var(--muted); font-size: .85rem; }
.about > .bar { height: 5px; margin: 2px 0; background: var(--accent); border-radius: 2px; }
.wide { overflow-x: auto; margin: 1.25rem 0; }
figure .wide { margin: 0; }
table { border-collapse: collapse; font-size: .95rem; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; }
td.number { font-variant-numeric: tabular-nums; }
pre {
  margin: 1.25rem 0; padding: 1rem; overflow-x: auto; background: var(--soft);
  border: 1px solid var(--line); border-radius: 6px; font: .85rem/1.5 ui-monospace, monospace;
}
"""
