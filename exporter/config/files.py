"""Reading the files that a configuration names: regular ones of a bounded size, so that no read blocks or goes on."""

import errno
import os
import stat
from pathlib import Path

from exporter.config.section import looks_like_a_token

LARGEST = 64 * 2**20
"""Bytes of the largest file that is read."""


def path_of(value: object) -> str | None:
    """A value as the path of a file; None where no file can be called so."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return None
    return value


def read_regular(path: Path | str, *, at_most: int = LARGEST) -> bytes:
    """
    Read a regular file, or the one that a symbolic link leads to.

    Raises:
        OSError: It cannot be read, is larger than `at_most` bytes, or is a directory, pipe, socket or device.
        ValueError: No file can be called so (see `path_of`).
    """
    # Without O_NONBLOCK, opening a pipe waits until something writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(descriptor)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it is larger than {at_most} bytes")
    return content


def unreadable(path: Path | str, error: OSError) -> str:
    """What was expected of a file that `read_regular` refused; the path is named unless it could be a token."""
    parts = Path(path).parts
    # What exists is a path; a token that was put in its place is not.
    shown = next((count for count in range(len(parts), 0, -1) if os.access(Path(*parts[:count]), os.F_OK)), 0)
    named = "" if any(map(looks_like_a_token, parts[shown:])) else f": {path}"
    return f"expected a file that can be read: {error.strerror}{named}"
