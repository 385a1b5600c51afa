"""Writing for people, on a terminal or into a pipe."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# A pipe has no width: a program that reads it expects one line for each row.
_NO_EDGE = 1_000_000


def console(stream: TextIO) -> Console:
    """A console without markup, with colours only on a terminal where NO_COLOR is not set."""
    _take_any_letter(stream)
    seen = stream.isatty()
    return Console(
        file=stream,
        force_terminal=seen,
        width=None if seen else _NO_EDGE,
        markup=False,
        emoji=False,
        highlight=False,
    )


def write(text: str, stream: TextIO) -> None:
    """Write a text and flush; characters that the stream's encoding lacks become backslash escapes."""
    _take_any_letter(stream)
    stream.write(text)
    stream.flush()


def _take_any_letter(stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Callable[[int, int], None]]:
    """Show a bar until the end of the block, where the stream is a terminal; yields what `check` moves it with."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Nothing else is written while the bar is shown, so output need not be redirected.
    with Progress(
        *columns,
        console=console(stream),
        transient=True,
        disable=not stream.isatty(),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        bar = progress.add_task("Polling campaigns", total=None)

        def move(done: int, known: int) -> None:
            progress.update(bar, advance=done, total=(progress.tasks[0].total or 0) + known)

        yield move
