"""Charts: well-formed, true to the numbers, readable by day and night, and quick."""

import re
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from bongsu.protocol.path.buckets import buckets
from bongsu.protocol.path.chart import LOSS_BOTTOM, LOSS_TOP, RTT_BOTTOM, RTT_TOP, chart
from bongsu.protocol.path.machine import SECOND
from bongsu.protocol.path.still import still
from tests.unit.path_runs import BEGAN_NS, drawn, kept

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def elements(root: ElementTree.Element, tag: str, name: str) -> list[ElementTree.Element]:
    return [each for each in root.iter(SVG + tag) if each.get("class") == name]


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]


def test_buckets_are_quantiles_of_their_stretch() -> None:
    rtt = [float(number) for number in range(100)]
    found = buckets(kept(rtt), 2)
    assert found.p50_ms.tolist() == [24, 74]
    assert found.p95_ms.tolist() == [47, 97]
    assert found.max_ms.tolist() == [49, 99]
    assert found.span_s == 99


def test_a_stretch_without_probes_is_not_a_stretch_without_loss() -> None:
    run = kept([1.0, None, 3.0])
    run.rows["sent_ns"][2] = BEGAN_NS + 100 * SECOND
    found = buckets(run, 4)
    assert found.loss[0] == 0.5
    assert np.isnan(found.loss[1:3]).all()
    assert np.isnan(found.p50_ms[1:3]).all()
    assert found.p50_ms[3] == 3.0


def test_every_probe_is_in_exactly_one_stretch() -> None:
    run = drawn(12_345, 1, loss=0.25)
    found = buckets(run, 7)
    lost = (run.rows["rtt_ns"] < 0).mean()
    assert found.loss.mean() == pytest.approx(lost, abs=0.001)


def test_a_chart_of_one_run_is_an_svg_with_its_lines() -> None:
    root = parsed(chart([("busan to web", drawn(1000, 1, loss=0.1))]))
    for name in ("p50", "p95", "max"):
        (path,) = elements(root, "path", name)
        assert len(heights(path.get("d", ""))) == 220
        assert all(RTT_TOP <= y <= RTT_BOTTOM for y in heights(path.get("d", "")))
    bars = elements(root, "rect", "loss")
    assert bars
    assert all(0 < float(bar.get("height", "0")) <= LOSS_BOTTOM - LOSS_TOP for bar in bars)


def test_no_bar_without_loss() -> None:
    assert elements(parsed(chart([("a", drawn(1000, 1))])), "rect", "loss") == []


def test_p50_lies_below_p95_lies_below_max() -> None:
    root = parsed(chart([("a", drawn(5000, 1))]))
    lines = [
        heights(elements(root, "path", name)[0].get("d", "")) for name in ("p50", "p95", "max")
    ]
    for low, middle, high in zip(*lines, strict=True):
        assert low >= middle >= high


def test_two_runs_have_two_colours_and_share_their_axes() -> None:
    root = parsed(chart([("direct", drawn(1000, 1, base=90)), ("fast", drawn(1000, 2, base=10))]))
    slow, fast = (heights(path.get("d", "")) for path in elements(root, "path", "p50"))
    assert min(fast) > max(slow)
    text = chart([("direct", drawn(100, 1)), ("fast", drawn(100, 2))])
    assert 'class="a"' in text
    assert 'class="b"' in text


def test_still_it_has_plain_colours_by_day() -> None:
    """For programs that know neither variables nor media queries."""
    text = still(chart([("direct", drawn(1000, 1, loss=0.1)), ("fast", drawn(1000, 2))]))
    assert parsed(text).tag == SVG + "svg"
    assert not re.search(r"var\(|@media|--\w|system-ui|0d1117", text)
    rules = dict(re.findall(r"^(.+?) \{ (.*) \}$", text, re.MULTILINE))
    assert "fill: #656d76" in rules["text"] or "fill: #656d76" in text
    assert "stroke: #0072b2" in rules[".a .p50, .a .p95, .a .max"]
    assert "stroke: #d55e00" in rules[".b .p50, .b .p95, .b .max"]
    assert "stroke-width: 2" in rules[".p50"]
    assert 'fill="#ffffff"' in text
    with pytest.raises(ValueError, match="no style"):
        still("<svg/>")


def test_it_follows_light_and_dark_and_loads_nothing() -> None:
    text = chart([("a", drawn(100, 1))])
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(href|src|url|@import|<script)", text)
    assert text.count("http") == 1  # the namespace


def test_names_cannot_break_out() -> None:
    root = parsed(chart([("<b>&\"'", drawn(10, 1))]))
    assert any("<b>&" in (each.text or "") for each in root.iter(SVG + "tspan"))


def test_an_interruption_interrupts_the_line() -> None:
    run = drawn(2000, 1)
    run.rows["sent_ns"][1000:] += 1000 * SECOND
    (path,) = elements(parsed(chart([("a", run)])), "path", "p50")
    assert path.get("d", "").count("M") == 2


def test_an_outlier_is_marked_and_flattens_nothing() -> None:
    run = drawn(10_000, 1)
    run.rows["rtt_ns"][5000] = 20 * SECOND
    root = parsed(chart([("a", run)]))
    assert len(elements(root, "path", "high")) == 1
    (path,) = elements(root, "path", "p50")
    assert min(heights(path.get("d", ""))) < RTT_BOTTOM - 60


@pytest.mark.parametrize("series", [[5.0], [None], [None] * 50, [5.0, 5.0], [0.0, 0.0]])
def test_the_smallest_runs_have_a_chart(series: list[float | None]) -> None:
    assert parsed(chart([("a", kept(series))])).tag == SVG + "svg"


def test_nothing_known_has_none() -> None:
    with pytest.raises(ValueError, match="no probe"):
        chart([("a", kept([]))])


def test_a_hundred_thousand_probes_in_less_than_a_second() -> None:
    run = drawn(120_000, 1, loss=0.2)
    began = time.process_time()
    chart([("a", run)])
    assert time.process_time() - began < 1
