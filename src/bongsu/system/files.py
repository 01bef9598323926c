"""Files that are either old or new, never half: written beside the target, synced, renamed.

An unchanged file (content, mode, owner) is not written again, so that applying the same bundle
twice leaves every inode alone. Contents are never logged here: one of these files holds secrets.
"""

import contextlib
import grp
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, text: str, mode: int = 0o644, group: str | None = None) -> bool:
    """Make `path` hold `text`; False if it did already. Missing directories are made (0755).

    A group that this machine does not have is left out, and with it the group's access.
    Raises OSError.
    """
    gid = 0
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            mode &= ~0o070
    data = text.encode()
    if _is(path, data, mode, gid):
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            # Owner before mode: the file is 0600 until its group is the right one.
            os.fchown(fd, 0, gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
        Path(temporary).rename(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_directory(path.parent)
    return True


def keep(path: Path, suffix: str) -> bool:
    """Give a file a second name beside it, once; False if there is no file or it is kept already."""
    kept = path.with_name(path.name + suffix)
    if kept.exists() or not path.is_file():
        return False
    kept.hardlink_to(path)
    return True


def remove(path: Path) -> bool:
    """Remove a file; False if it was not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync_directory(path.parent)
    return True


def read_tree(top: Path, *, limit_bytes: int, limit_files: int) -> dict[str, str]:
    """Every file below `top` by its relative path. ValueError beyond a bound or for other than text.

    Symbolic links are refused: a bundle holds what it names.
    """
    if not top.is_dir():
        raise ValueError(f"{top} is not a directory")
    tree: dict[str, str] = {}
    size = 0
    for path in sorted(top.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link")
        if path.is_dir():
            continue
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
        size += path.stat().st_size
        if size > limit_bytes or len(tree) >= limit_files:
            raise ValueError(f"{top} holds more than {limit_files} files or {limit_bytes} bytes")
        try:
            tree[str(path.relative_to(top))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text") from error
    return tree


def _is(path: Path, data: bytes, mode: int, gid: int) -> bool:
    try:
        status = path.lstat()
        same = (status.st_mode & 0o170000, status.st_mode & 0o7777) == (0o100000, mode)
        return same and (status.st_uid, status.st_gid) == (0, gid) and path.read_bytes() == data
    except OSError:
        return False


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
