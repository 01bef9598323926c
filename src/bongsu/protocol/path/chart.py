"""A chart of one or two measurements, as SVG: RTT above, loss below, over time since their beginning.

The file stands alone: no script, no font, no link. Its colours follow the reader's light or dark
setting (`prefers-color-scheme`), and tell two runs apart for the colour-blind too (Okabe and Ito, 2008).
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10

import numpy as np

from bongsu.protocol.path.buckets import Buckets, Floats, buckets
from bongsu.protocol.path.run import Run
from bongsu.protocol.path.statistics import target_figures

WIDTH, HEIGHT = 960, 480
LEFT, RIGHT = 64, 944
RTT_TOP, RTT_BOTTOM = 76, 316
LOSS_TOP, LOSS_BOTTOM = 352, 440
BUCKETS = 220
"""Stretches: four pixels each."""
RUNS_MAX = 2
MARKS_MAX = 9
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * each for each in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * each for each in (1, 2, 3, 6, 12, 24)),
)
"""Between two marks of the time axis."""
HEADROOM = 1.5
"""The RTT axis ends at so many times the highest p95: one outlier does not flatten the rest."""

_STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --quiet: #656d76; --grid: #d8dee4; --a: #0072b2; --b: #d55e00;
  background: var(--paper); font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #e6edf3; --quiet: #9198a1; --grid: #30363d; --a: #56b4e9; --b: #e69f00; } }
text { fill: var(--quiet); } .title { fill: var(--ink); font-size: 14px; font-weight: 600; }
.grid { stroke: var(--grid); } .a { --run: var(--a); } .b { --run: var(--b); }
.p50, .p95, .max { fill: none; stroke: var(--run); stroke-linejoin: round; }
.p50 { stroke-width: 2; } .p95 { stroke-width: 1; stroke-dasharray: 4 2; }
.max { stroke-width: 0.7; opacity: 0.55; } .loss { fill: var(--run); opacity: 0.8; }
.high { fill: var(--run); } .name { fill: var(--run); font-weight: 600; }
"""


def chart(runs: Sequence[tuple[str, Run]]) -> str:
    """The chart of one or two named runs. ValueError if one has no probe whose fate is known."""
    if not 1 <= len(runs) <= RUNS_MAX:
        raise ValueError("a chart has one run or two")
    span = max(buckets(run, 1).span_s for _, run in runs) or 1e-3
    drawn = [buckets(run, BUCKETS, span) for _, run in runs]
    highest = _highest(drawn)
    body = [
        *_frame(span, highest),
        *_legend(runs),
    ]
    for place, each in enumerate(drawn):
        body += [
            f'<g class="{"ab"[place]}">',
            *_series(each, span, highest, place, len(drawn)),
            "</g>",
        ]
    title = escape(" and ".join(name for name, _ in runs))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img">',
            f"<title>RTT and loss of {title}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--paper)"/>',
            *body,
            "</svg>\n",
        ]
    )


def _highest(drawn: Sequence[Buckets]) -> float:
    """The end of the RTT axis, ms."""
    p95 = np.concatenate([each.p95_ms for each in drawn])
    top = np.concatenate([each.max_ms for each in drawn])
    if np.isnan(top).all():
        return 1.0
    return _nice(min(float(np.nanmax(top)) * 1.05, HEADROOM * float(np.nanmax(p95))) or 1.0)


def _nice(value: float) -> float:
    """The next round number: 1, 1.5, 2, 3, 5, 7.5 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next(
        step * power for step in (1, 1.5, 2, 3, 5, 7.5, 10) if step * power >= value * 0.9999
    )


def _x(seconds: float, span: float) -> float:
    return LEFT + (RIGHT - LEFT) * seconds / span


def _frame(span: float, highest: float) -> Iterator[str]:
    for quarter in range(5):
        y = RTT_BOTTOM - (RTT_BOTTOM - RTT_TOP) * quarter / 4
        yield from _level(y, f"{highest * quarter / 4:g}")
    for share in (0, 50, 100):
        yield from _level(LOSS_BOTTOM - (LOSS_BOTTOM - LOSS_TOP) * share / 100, f"{share}")
    yield f'<text x="{LEFT}" y="{RTT_TOP - 10}">RTT, ms</text>'
    yield f'<text x="{LEFT}" y="{LOSS_TOP - 10}">loss, %</text>'
    step, unit, name = _time_step(span)
    for number in range(ceil(span / step) + 1):
        if number * step <= span * 1.0001:
            at = _x(number * step, span)
            tick = f"M{at:.1f} {LOSS_BOTTOM}v4"
            yield f'<path class="grid" d="{tick}"/>'
            label = f"{number * step / unit:g}" + (f" {name}" if number == 0 else "")
            yield f'<text x="{at:.1f}" y="{LOSS_BOTTOM + 18}" text-anchor="middle">{label}</text>'


def _level(y: float, label: str) -> Iterator[str]:
    yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>'
    yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _time_step(span: float) -> tuple[float, float, str]:
    """Seconds between two marks of the time axis, and the unit they are told in."""
    days = _nice(span / _DAY / MARKS_MAX) * _DAY
    step: float = next((each for each in _STEPS_S if span / each <= MARKS_MAX), days)
    if span < _STEPS_S[0]:
        step = _nice(span / MARKS_MAX)
    units = ((2 * _HOUR, float(_HOUR), "h"), (3 * _MINUTE, float(_MINUTE), "min"), (0, 1.0, "s"))
    return step, *next((unit, name) for least, unit, name in units if span >= least)


def _legend(runs: Sequence[tuple[str, Run]]) -> Iterator[str]:
    for place, (name, run) in enumerate(runs):
        found = target_figures(run)
        text = f"{found.sent} probes, {100 * found.loss:.2f} % lost"
        if found.p50_ms is not None:
            text += f", p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms, max {found.worst_ms:.1f} ms"
        yield (
            f'<g class="{"ab"[place]}"><text class="title" x="{LEFT}" y="{22 + 18 * place}">'
            f'<tspan class="name">{escape(name)}</tspan>  {text}</text></g>'
        )
    yield (
        f'<text x="{RIGHT}" y="{RTT_TOP - 10}" text-anchor="end">'
        "thick p50, dashed p95, thin max; a triangle is beyond the axis</text>"
    )


def _series(each: Buckets, span: float, highest: float, place: int, of: int) -> Iterator[str]:
    width = (RIGHT - LEFT) / BUCKETS
    centres = each.begin_s + span / BUCKETS / 2
    for name in ("max", "p95", "p50"):
        if path := _line(centres, getattr(each, f"{name}_ms"), span, highest):
            yield f'<path class="{name}" d="{path}"/>'
    for at in np.flatnonzero(each.max_ms > highest):
        x = _x(float(centres[at]), span)
        yield f'<path class="high" d="M{x:.1f} {RTT_TOP - 5}l3 5h-6z"/>'
    for at in np.flatnonzero(each.loss > 0):
        tall = (LOSS_BOTTOM - LOSS_TOP) * float(each.loss[at])
        x = _x(float(each.begin_s[at]), span) + place * width / of
        yield (
            f'<rect class="loss" x="{x:.1f}" y="{LOSS_BOTTOM - tall:.1f}" '
            f'width="{width / of:.1f}" height="{max(tall, 0.6):.1f}"/>'
        )


def _line(times: Floats, values: Floats, span: float, highest: float) -> str:
    """A path through the values; a stretch without one interrupts it."""
    parts: list[str] = []
    known = ~np.isnan(values)
    for at in np.flatnonzero(known):
        x = _x(float(times[at]), span)
        y = RTT_BOTTOM - (RTT_BOTTOM - RTT_TOP) * min(float(values[at]) / highest, 1.0)
        joined = at > 0 and known[at - 1]
        parts.append(f"{'L' if joined else 'M'}{x:.1f} {y:.1f}")
        if not joined and (at + 1 == len(values) or not known[at + 1]):
            parts.append("h2")  # a point on its own would not be seen
    return "".join(parts)
