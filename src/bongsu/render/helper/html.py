"""A helper page as HTML: one file that needs nothing from anywhere, and prints well.

A box stands before each step, for whoever works down the page on paper or on the screen.
"""

from html import escape

from bongsu.render.helper.page import (
    Block,
    Bullets,
    Check,
    Code,
    Heading,
    Page,
    Paragraph,
    Plain,
    Table,
    Text,
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; border-top: 1px solid #bbb; padding-top: 1rem; }
h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { border: 1px solid #bbb; padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { background: #f0f0f0; }
code { font-family: ui-monospace, monospace; font-size: .92em; background: #f4f4f4; padding: 0 .2em; }
pre { background: #f4f4f4; padding: .5rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre code { padding: 0; }
.check, .run { border-left: 4px solid #2f7d32; padding: .1rem .8rem; margin: .8rem 0; }
.check::before { content: "Check"; font-weight: bold; color: #2f7d32; }
.run { border-color: #1a5fb4; } .run::before { content: "Run"; font-weight: bold; color: #1a5fb4; }
input { margin-right: .5rem; }
footer { color: #666; font-size: .8rem; margin-top: 2rem; }
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; }
  h2, h3 { break-after: avoid; } table, pre, .check, .run { break-inside: avoid; }
  code, pre, th { background: none; }
}
""".strip()


def html(page: Page, header: list[str]) -> str:
    """The page's text."""
    title = "".join(span.text for span in page.title)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        "</head>",
        "<body>",
        f"<h1>{_inline(page.title)}</h1>",
        *(_block(block) for block in page.blocks),
        f"<footer>{'<br>'.join(escape(line) for line in header)}</footer>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(level, words):
            box = '<input type="checkbox" aria-label="done">' if level == 2 else ""
            return f"<h{level}>{box}{_inline(words)}</h{level}>"
        case Paragraph(words):
            return f"<p>{_inline(words)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{_inline(item)}</li>" for item in items) + "\n</ul>"
        case Table(head, rows):
            top = "".join(f"<th>{escape(name)}</th>" for name in head)
            body = "\n".join(
                "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>"
                for row in rows
            )
            return f"<table>\n<tr>{top}</tr>\n{body}\n</table>"
        case Check(commands, expected, label):
            shown = "\n".join(commands)
            pre = f"<pre><code>{escape(shown)}</code></pre>\n" if commands else ""
            return f'<div class="{label.lower()}">\n{pre}<p>{_inline(expected)}</p>\n</div>'


def _inline(words: Text) -> str:
    parts = []
    for span in words:
        if isinstance(span, Plain):
            parts.append(escape(span.text))
        elif isinstance(span, Code):
            parts.append(f"<code>{escape(span.text)}</code>")
        else:
            parts.append(f"<em>{escape(span.text)}</em>")
    return "".join(parts)
