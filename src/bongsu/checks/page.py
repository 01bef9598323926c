"""The page of a code: what it means, why it breaks networks, how to see it and how to mend it.

Pages are Markdown files beside this module, so that an installed bongsu explains itself offline.
"""

from importlib.resources import files


def explain(code: str) -> str:
    """A code's page. KeyError if there is no such code."""
    name = code.upper()
    page = files("bongsu.checks") / "pages" / f"{name}.md"
    # The name is a file's name from here on: nothing else than a code may become one.
    if not (name.isascii() and name.isalnum()) or not page.is_file():
        raise KeyError(code)
    return page.read_text("utf-8")
