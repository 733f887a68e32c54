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

from benchmark.runner.event import Event


class Display:
    """What is running, how far, how long. Without a terminal, one line a finished cell."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
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
        """A cell begins a phase, was found finished or has run."""
        if event.kind == "begins":
            text = f"{event.where} · {event.phase.replace('_', ' ')}"
            self._progress.update(self._task, description=text)
            return
        self._progress.advance(self._task)
        if event.kind == "ran":
            self._report(event)

    def _report(self, event: Event) -> None:
        if event.record.failure is not None:
            self._console.print(
                f"[red]failed[/red] {event.where}: {event.record.failure.message}",
                highlight=False,
            )
        elif not self._console.is_terminal:
            self._console.print(f"{event.where}: {event.record.seconds:.2f} s", highlight=False)
