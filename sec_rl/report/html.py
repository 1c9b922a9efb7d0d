"""The frame of a page: one file, no network, readable on a telephone and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --soft: #5c6670; --line: #dfe4e8; --fill: #f5f7f8;
  --blue: #3b8fd0; --orange: #e08a1e; --green: #1fa37a; --pink: #cc79a7; --violet: #8577d8; --grey: #98a2ab; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa4ad; --line: #2d343a; --fill: #1c2125; --grey: #69737c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .8rem; padding-top: .8rem; border-top: 1px solid var(--line); }
.lead { font-size: 1.15rem; max-width: 46rem; margin: .4rem 0; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
figcaption { margin-top: .2rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.2rem 0; }
.tile { background: var(--fill); border: 1px solid var(--line); border-radius: .6rem; padding: .75rem .9rem; }
.tile b { display: block; font-size: 1.65rem; line-height: 1.25; letter-spacing: -.02em; }
.tile span { display: block; font-weight: 600; font-size: .92rem; }
.tile small { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.6rem 1.5rem; }
figure { margin: 0; min-width: 0; }
svg { width: 100%; height: auto; display: block; }
ul { padding-left: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; width: 100%; }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line); }
th { font-size: .9rem; color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 7rem; }
td { white-space: nowrap; }
pre { background: var(--fill); border: 1px solid var(--line); padding: .7rem .9rem; border-radius: .5rem;
  overflow-x: auto; white-space: pre-wrap; margin: .5rem 0; font-size: .9rem; }
.layers { max-width: 46rem; }
.layer { display: grid; grid-template-columns: 4rem 1fr 1fr; gap: .2rem 1.4rem; align-items: start; margin: .5rem 0; }
.layer span { line-height: 1; }
.layer small { color: var(--soft); font-variant-numeric: tabular-nums; }
.heads { display: flex; gap: 2px; height: .9rem; }
.heads i { flex: 1; background: color-mix(in srgb, var(--ink) 11%, transparent); border-radius: .15rem; }
.heads .on { background: var(--blue); }
.track { background: color-mix(in srgb, var(--ink) 11%, transparent); height: .9rem; border-radius: .2rem; }
.left { background: var(--orange); height: 100%; border-radius: .2rem; }
.shares { display: flex; gap: 2px; height: 1.4rem; border-radius: .3rem; overflow: hidden; }
.shares i { min-width: 1px; }
.key { list-style: none; padding: 0; margin: .6rem 0; display: grid; gap: .15rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); font-size: .92rem; }
.key li { display: flex; gap: .5rem; align-items: baseline; }
.key i { flex: none; width: .75rem; height: .75rem; border-radius: .15rem; }
.key span { flex: 1; }
.key b { font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
.c0 { background: var(--grey); } .c1 { background: var(--green); } .c2 { background: var(--blue); }
.c3 { background: var(--orange); } .c4 { background: var(--pink); } .c5 { background: var(--violet); }
@media (max-width: 30rem) {
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile b { font-size: 1.4rem; }
  .layer { grid-template-columns: 3.6rem 1fr 1fr; gap: .2rem .8rem; }
  td, th { padding: .35rem .25rem; font-size: .92rem; }
}
"""
_COLOURS = 6


def page(title: str, *parts: str) -> str:
    """Return a whole page.

    Args:
        title: plain text.
        parts: HTML, in order.
    """
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing may be fetched, whatever a task's or a folder's name holds.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """Return lines to copy."""
    return f"<pre><code>{escape(text)}</code></pre>"


def bullets(texts: Sequence[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts; a wide one scrolls by itself."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def plots(figures: Sequence[tuple[str, str]]) -> str:
    """Return plots side by side, each an SVG and its caption."""
    shown = (f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in figures)
    return f'<div class="plots">{"".join(shown)}</div>'


def tiles(cells: Sequence[tuple[str, str, str]]) -> str:
    """Return the figures that are read first, each (figure, what it is, how it comes about)."""
    shown = (
        f'<div class="tile"><b>{escape(figure)}</b><span>{escape(what)}</span><small>{escape(how)}</small></div>'
        for figure, what, how in cells
    )
    return f'<div class="tiles">{"".join(shown)}</div>'


def shares(parts: Sequence[tuple[str, float]], unit: str) -> str:
    """Return one bar that is cut in proportion to its parts, at most six, and a line per part.

    Args:
        parts: what each is, and how much, at least 0 and not all 0.
        unit: of how much.
    """
    total = sum(amount for _, amount in parts)
    bar = "".join(
        f'<i class="c{i % _COLOURS}" style="width:{100.0 * amount / total:.2f}%"></i>'
        for i, (_, amount) in enumerate(parts)
    )
    lines = "".join(
        f'<li><i class="c{i % _COLOURS}"></i><span>{escape(what)}</span><b>{amount:,.1f} {escape(unit)}</b></li>'
        for i, (what, amount) in enumerate(parts)
    )
    return f'<div class="shares">{bar}</div><ul class="key">{lines}</ul>'
