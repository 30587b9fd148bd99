"""Draws what the best candidates choose beside what all choose: the mean cell, and shares."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from hypernas.explaining.record import Arc, Explanation, MeanCell, Share, Spread
from hypernas.report.formats import coordinate as _n

WIDTH = 860.0
MOST_BARS = 24
"""places whose bars are drawn; the others are in the file"""
_COLOURS = (
    *("#8ec1ea", "#f6b26b", "#93d5a4", "#f2a1a7", "#c5b3e6", "#f4dc7a", "#8ad6d6", "#d9b38c"),
    *("#eaa6d4", "#b9d36c"),
)
_GREY, _GREYS = "#c3c9d0", ("not there", "other")
_MARKS = {"more": " ▲", "less": " ▼", "same": ""}
_STYLE = """
.mean{--m-ink:#1d2530;--m-soft:#5d6875;--m-line:#7d8995;--m-paper:#fff;
font:12px system-ui,sans-serif}
@media screen and (prefers-color-scheme:dark){
.mean{--m-ink:#e6eaef;--m-soft:#a3afbb;--m-line:#8c98a5;--m-paper:#1a2028}}
.mean text{fill:var(--m-ink)} .mean .soft{fill:var(--m-soft);font-size:11px}
.mean .title{font-size:14px;font-weight:600} .mean .name{font-weight:600}
.mean .on{fill:#14191f;font-size:11px} .mean .middle{text-anchor:middle}
.mean .end{text-anchor:end} .mean .value{stroke:var(--m-line)}
.mean .plain{fill:var(--m-paper)} .mean .arc{fill:none}
.mean .leader{stroke:var(--m-line);stroke-width:.7}
.mean .halo{paint-order:stroke;stroke:var(--m-paper);stroke-width:4px;font-size:11px}
"""
_LETTER = 6.1
_PILL, _PILL_X, _TALL = 130.0, 176.0, 34.0
"""width of a value's box, the middle of it in its panel, its height"""
_LABELS = 318.0
"""left end of the names of connections"""
_BARS, _BAR, _ROW = 52.0, 15.0, 62.0
"""left end of the bars, height of one, height of a place's name and two bars"""


def draw_mean(found: Explanation) -> str:
    """Return the picture of an explanation as inline SVG that brings its own style."""
    head = [
        _text(0, 14, f"What the top 5 % choose ({found.best:,} of {found.candidates:,})", "title"),
        _text(0, 32, "▲ more often, ▼ less often than as many picked blindly would", "soft"),
    ]
    body, y = "".join(head), 52.0
    if found.cell is not None:
        drawn, height = _cells(found.cell, found)
        body += f"<g transform='translate(0 {_n(y)})'>{drawn}</g>"
        y += height + 24
    left = MOST_BARS
    for group in _groups(found):
        drawn, height = _bars(group[: max(left, 0)])
        body += f"<g transform='translate(0 {_n(y)})'>{drawn}</g>"
        y, left = y + height, left - len(group)
    if left < 0:
        body += _text(0, y + 12, f"{-left} more in explain.json", "soft")
        y += 20
    return (
        f"<svg class='mean' xmlns='http://www.w3.org/2000/svg' role='img' "
        f"aria-label='what the best candidates choose' viewBox='-8 -4 {WIDTH + 16:.0f} "
        f"{math.ceil(y + 8)}' width='{WIDTH + 16:.0f}' height='{math.ceil(y + 8)}'>"
        f"<style>{_STYLE}</style>{body}</svg>"
    )


def _places(cell: MeanCell) -> list[Spread]:
    """Return the places of a cell that have an operation, as rows of bars."""
    values = cell.values
    edges = [
        Spread(name=f"{values[arc.source]} → {values[arc.target]}", shares=arc.shares)
        for arc in cell.arcs
        if _carries(arc)
    ]
    made = [Spread(name=values[int(p)], shares=shares) for p, shares in cell.operations.items()]
    return edges + made


def _carries(arc: Arc) -> bool:
    return arc.shares[0].value != ""


def _cells(cell: MeanCell, found: Explanation) -> tuple[str, float]:
    """Draw the cell of the best and that of all side by side; return the drawing and its height."""
    pitch = 74.0 if any(map(_carries, cell.arcs)) else 56.0
    colours = _colours(_groups(found)[0])
    titles = (f"top 5 %: {found.best:,} candidates", f"all {found.candidates:,} candidates")
    body = ""
    for side, title in enumerate(titles):
        panel = _text(_PILL_X, 12, title, "name middle")
        panel += "".join(_arc(arc, pitch, colours, best=side == 0) for arc in cell.arcs)
        for position, name in enumerate(cell.values):
            made = cell.operations.get(str(position))
            panel += _value(name, made, _level(position, pitch), colours, best=side == 0)
        body += f"<g transform='translate({_n(side * WIDTH / 2)} 0)'>{panel}</g>"
    words = "A line is as thick as the share of cells that have the connection. "
    words += "What is named stands there most often, in the share given."
    height = _level(len(cell.values) - 1, pitch) + _TALL / 2
    return body + _text(0, height + 20, words, "soft"), height + 20


def _level(position: int, pitch: float) -> float:
    return 42 + position * pitch


def _arc(arc: Arc, pitch: float, colours: dict[str, str], *, best: bool) -> str:
    """Draw a connection: straight between neighbours, else around to the right."""
    there = [share for share in arc.shares if share.value != "not there"]
    present = sum(_part(share, best=best) for share in there)
    if present < 0.02:
        return ""
    top = max(there, key=lambda share: _part(share, best=best))
    y0, y1 = _level(arc.source, pitch), _level(arc.target, pitch)
    middle, right, out = (y0 + y1) / 2, _PILL_X + _PILL / 2, _bulge(arc)
    path = f"M{_n(_PILL_X)} {_n(y0 + _TALL / 2)}V{_n(y1 - _TALL / 2)}"
    if out:
        path = f"M{_n(right)} {_n(y0 + 6)}C{_n(right + out)} {_n(y0 + 10)} "
        path += f"{_n(right + out)} {_n(y1 - 10)} {_n(right)} {_n(y1 - 6)}"
    drawn = (
        f"<path class='arc' d='{path}' stroke='{colours.get(top.value, 'var(--m-line)')}' "
        f"stroke-width='{_n(0.6 + 7 * present)}' stroke-opacity='{0.25 + 0.75 * present:.2f}'>"
        f"<title>{html.escape(chr(10).join(map(_tip, arc.shares)))}</title></path>"
    )
    mark = _MARKS[top.differs] if best else ""
    if not _carries(arc):
        return drawn + (_text(right + 0.75 * out, middle, mark, "halo") if mark else "")
    label = f"{top.value} {_percent(_part(top, best=best))}{mark}"
    if not out:
        return drawn + _text(_PILL_X - 9, middle + 4, label, "halo end")
    leader = f"M{_n(right + 0.75 * out)} {_n(middle)}H{_n(_LABELS - 3)}"
    return f"{drawn}<path class='leader' d='{leader}'/>{_text(_LABELS, middle + 4, label, 'halo')}"


def _bulge(arc: Arc) -> float:
    """Return how far the control points of an arc lie to the right of the values' boxes."""
    span = arc.target - arc.source
    return 0.0 if span == 1 else 8 + 26 * span


def _value(
    name: str, made: Sequence[Share] | None, y: float, colours: dict[str, str], *, best: bool
) -> str:
    """Draw a value of the cell, with the operation that most often makes it."""
    fill, lines = "", [_text(_PILL_X, y + 4, name, "name middle")]
    if made:
        top = max(made, key=lambda share: _part(share, best=best))
        fill = f" style='fill:{colours[top.value]}'"
        words = f"{top.value} {_percent(_part(top, best=best))}"
        words += _MARKS[top.differs] if best else ""
        lines = [
            _text(_PILL_X, y - 3, name, "on middle"),
            _text(_PILL_X, y + 11, words, "on middle"),
        ]
    return (
        f"<rect class='value plain'{fill} x='{_n(_PILL_X - _PILL / 2)}' y='{_n(y - _TALL / 2)}' "
        f"width='{_n(_PILL)}' height='{_n(_TALL)}' rx='8'/>" + "".join(lines)
    )


def _groups(found: Explanation) -> list[list[Spread]]:
    """Return the rows of bars, those together that share their colours.

    Of a cell's places and the families of decisions that are about the same; families of many
    values say little as bars, so where there is a cell they are left out.
    """
    if found.cell is None:
        return [[spread] for spread in found.spreads]
    places = _places(found.cell)
    options = set(_options(places))
    alone = []
    for spread in found.spreads:
        values = [share.value for share in spread.shares]
        if 2 * len(options.intersection(values)) >= len(values):
            places.append(spread)
        elif "other" not in values:
            alone.append([spread])
    return [places, *alone]


def _bars(spreads: Sequence[Spread]) -> tuple[str, float]:
    """Draw two bars a place, with a legend above where not every share has room for its name."""
    if not spreads:
        return "", 0.0
    colours, body, y, named = _colours(spreads), "", 0.0, True
    for spread in spreads:
        body += _text(0, y + 11, spread.name, "name") + _text(
            WIDTH, y + 11, _gone(spread), "soft end"
        )
        for line, best in enumerate((True, False)):
            top = y + 17 + line * (_BAR + 2)
            body += _text(_BARS - 6, top + 12, "top 5 %" if best else "all", "soft end")
            drawn, whole = _bar(spread.shares, top, colours, best=best)
            body, named = body + drawn, named and whole
        y += _ROW
    if named:
        return body, y
    beside = 7.5 * len(spreads[0].name) + 20
    drawn, height = _legend(colours, beside)
    if len(spreads) == 1 and height < 30:  # one line has room beside the only name
        return body + drawn, y
    drawn, height = _legend(colours, _BARS)
    return f"{drawn}<g transform='translate(0 {_n(height)})'>{body}</g>", y + height


def _bar(
    shares: Sequence[Share], y: float, colours: dict[str, str], *, best: bool
) -> tuple[str, bool]:
    """Draw the shares of one place, one after the other; say whether all are named."""
    body, x, named = "", _BARS, True
    if best and shares[0].top is None:
        return _text(x, y + 12, "none of them has it", "soft"), True
    for share in shares:
        wide = _part(share, best=best) * (WIDTH - _BARS)
        if wide < 0.5:
            continue
        short = _percent(_part(share, best=best)) + (_MARKS[share.differs] if best else "")
        words = f"{share.value}: {short}"
        if _LETTER * len(words) > wide - 6:
            words, named = short, False
        body += (
            f"<rect x='{_n(x)}' y='{_n(y)}' width='{_n(wide)}' height='{_n(_BAR)}' "
            f"fill='{colours[share.value]}'><title>{html.escape(_tip(share))}</title></rect>"
        )
        if _LETTER * len(words) < wide - 2:
            body += _text(x + 4, y + 11.5, words, "on")
        x += wide
    return body, named


def _gone(spread: Spread) -> str:
    """Say what the best have so seldom, and less than blind picks, that it has no room in a bar."""
    narrow = 6 * _LETTER / (WIDTH - _BARS)
    gone = [s for s in spread.shares if s.differs == "less" and (s.top or 0) < narrow]
    return ", ".join(f"{s.value}: {_percent(s.top or 0)}{_MARKS['less']}" for s in gone)


def _legend(colours: dict[str, str], left: float) -> tuple[str, float]:
    """Draw the colour of each option from ``left`` on, in as many lines as it takes."""
    body, x, line = "", left, 0
    for option, colour in colours.items():
        wide = 24 + _LETTER * len(option)
        if x + wide > WIDTH and x > left:
            x, line = left, line + 1
        top = 18 * line
        body += f"<rect x='{_n(x)}' y='{_n(top)}' width='11' height='11' rx='2' fill='{colour}'/>"
        body += _text(x + 16, top + 10, option, "soft")
        x += wide
    return body, 18.0 * (line + 1) + 8


def _options(spreads: Sequence[Spread]) -> list[str]:
    """Return all that stands in some places, in order; what stands for absence last."""
    found = dict.fromkeys(share.value for spread in spreads for share in spread.shares)
    return sorted(found, key=_GREYS.__contains__)


def _colours(spreads: Sequence[Spread]) -> dict[str, str]:
    """Return the colour of each option of some places."""
    options = enumerate(_options(spreads))
    return {o: _GREY if o in _GREYS else _COLOURS[i % len(_COLOURS)] for i, o in options}


def _part(share: Share, *, best: bool) -> float:
    return (share.top or 0.0) if best else share.all


def _tip(share: Share) -> str:
    return (
        f"{share.value or 'there'}: top 5 % {_percent(share.top or 0)}, all {_percent(share.all)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f"<text class='{kind}' x='{_n(x)}' y='{_n(y)}'>{html.escape(words)}</text>"
