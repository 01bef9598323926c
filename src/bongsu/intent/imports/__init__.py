"""What clouds let one download of a VPN connection -> the parts of a network file.

Text in, values out: nothing here opens a file. A pre-shared key travels in a `Secret`, which no message
and no `repr` shows; whoever writes files puts it into one of its own.
"""

from collections.abc import Callable, Mapping

from bongsu.intent.imports.aws_generic import read_aws_generic
from bongsu.intent.imports.aws_ios import read_aws_ios
from bongsu.intent.imports.imported import Imported, Secret, Tunnel
from bongsu.intent.imports.oci_helper import read_oci_helper
from bongsu.intent.imports.reading import Reading, lines_of
from bongsu.intent.problem import IntentError, Problem

__all__ = ["FORMATS", "Imported", "Secret", "Tunnel", "guess", "read"]

FORMATS: dict[str, Callable[[Reading], Imported]] = {
    "aws-generic": read_aws_generic,
    "aws-ios": read_aws_ios,
    "oci-helper": read_oci_helper,
}
MAX_CHARACTERS = 4 << 20
"""Of all files together; the largest that a cloud makes is some 20 kB."""


def guess(files: Mapping[str, str]) -> str | None:
    """Which format the files are of, by words that only it has; None if it is none of them."""
    lines = [line.text.strip().lower() for line in lines_of(files)]
    if any(
        line.startswith(("crypto isakmp ", "crypto ikev2 ", "crypto keyring ")) for line in lines
    ):
        return "aws-ios"
    if any(line.startswith("ipsec tunnel #") for line in lines):
        return "aws-generic"
    if any(line.startswith("conn ") for line in lines):
        return "oci-helper"
    return None


def read(files: Mapping[str, str], kind: str | None = None) -> Imported:
    """The connection that the files describe. IntentError carries all problems at once.

    `files` are texts by the names that messages call them.
    """
    names = list(files) or ["(nothing)"]
    if sum(map(len, files.values())) > MAX_CHARACTERS:
        raise _nothing(names[0], "larger than anything a cloud makes", None)
    chosen = kind or guess(files)
    if chosen is None:
        known = "say with --as which it is: " + ", ".join(FORMATS)
        raise _nothing(names[0], "of no format that is known here", known)
    reading = Reading(files)
    found = FORMATS[chosen](reading)
    if not found.tunnels and not reading.problems:
        raise _nothing(names[0], f"no tunnel is described here, read as {chosen}", None)
    reading.end()
    return found


def _nothing(file: str, message: str, hint: str | None) -> IntentError:
    return IntentError([Problem(file, 1, 1, (), None, message, hint)])
