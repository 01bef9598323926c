"""Charts as files: SVG as it is, PNG by resvg, which is an extra (`bongsu[png]`)."""

import importlib.util
from pathlib import Path
from xml.sax.saxutils import quoteattr

from bongsu.cli.output import err, sentence
from bongsu.protocol.path.still import FONTS, still

KINDS = (".svg", ".png")
ZOOM = 2
"""Pixels of the picture for one of the chart: sharp on the screens of today."""
NO_FONT = "no font was found, so that the picture has no words: apt install fonts-dejavu-core"


def can_draw(path: Path) -> bool:
    """Whether what draws this kind of file is here."""
    return path.suffix.lower() != ".png" or importlib.util.find_spec("resvg_py") is not None


def drawn(path: Path, svg: str) -> bytes:
    """The file's content, by its name's end. Says so on standard error where there is no font."""
    if path.suffix.lower() != ".png":
        return svg.encode()
    if not _has_font():
        sentence(NO_FONT, to=err)
    return _png(still(svg), ZOOM)


def _png(svg: str, zoom: float = 1.0) -> bytes:
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=svg, zoom=zoom))


def _has_font() -> bool:
    """Whether a word leaves a trace: resvg passes over what it has no font for."""
    family = quoteattr(", ".join(FONTS))
    frame = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">{}</svg>'
    return _png(frame.format(f'<text y="15" font-family={family}>word</text>')) != _png(
        frame.format("")
    )
