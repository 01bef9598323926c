"""Keys into files of their own: readable by their owner alone, and none of them left after an error."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bongsu.cli.output import err, fail, sentence
from bongsu.intent.imports import Secret


@contextlib.contextmanager
def keys_written(secrets: Mapping[str, Secret]) -> Iterator[None]:
    """Write each key to its path; whatever goes wrong, here or within, what was made is removed again.

    A file that holds the key already is left, and made its owner's alone. Ends with an error, before
    anything is written, where one holds another key.
    """
    there = [Path(path) for path, secret in secrets.items() if _holds(Path(path), secret)]
    made: list[Path] = []
    try:
        for path, secret in secrets.items():
            if Path(path) not in there:
                _make_directory(Path(path).parent, made)
                _write(Path(path), secret, made)
        yield
    except BaseException:
        for path_made in reversed(made):
            # A directory that somebody has put something into meanwhile stays.
            with contextlib.suppress(OSError):
                path_made.rmdir() if path_made.is_dir() else path_made.unlink()
        raise
    for path_there in there:
        path_there.chmod(0o600)
    for path_made in made:
        if not path_made.is_dir():
            sentence(f"{path_made}: a pre-shared key, for its owner only", to=err)


def _holds(path: Path, secret: Secret) -> bool:
    """Whether the file is there and has this key; ends if it has another."""
    if not path.exists():
        return False
    if path.read_text("utf-8").strip() != secret.value:
        _refuse(path)
    return True


def _make_directory(path: Path, made: list[Path]) -> None:
    wanted = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(wanted):
        each.mkdir(mode=0o700 if each == path else 0o777)
        made.append(each)


def _write(path: Path, secret: Secret, made: list[Path]) -> None:
    # Never with a mode that others could read, not even for a moment; never over what is there.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _refuse(path)
    made.append(path)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret.value + "\n")


def _refuse(path: Path) -> None:
    fail(
        f"{path} is there and holds another key, so nothing was written",
        "take it away, or give the connection another --name",
    )
