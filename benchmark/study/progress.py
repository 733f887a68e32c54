"""The progress display."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from benchmark.console import marked
from benchmark.errors import present
from benchmark.study.event import Event


class Display:
    """What is running, how far, how long. Without a terminal, one line a finished piece."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """A piece begins a phase, was found finished or has run."""
        if event.kind == "begins":
            text = f"{event.where} · {event.phase.replace('_', ' ')}"
            self._progress.update(self._task, description=text)
            return
        self._progress.advance(self._task)
        record = present(event.record)
        if record.failure is not None:
            kept = " (kept; --fresh runs it again)" if event.kind == "kept" else ""
            text = f"{event.where}: {record.failure.message}{kept}"
            self._console.print(marked("red", "failed", text), soft_wrap=True)
        elif event.kind == "ran" and not self._console.is_terminal:
            self._console.print(Text(f"{event.where}: {record.seconds:.2f} s"))
