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

from benchmark.records import Record
from benchmark.runner.cell import Cell


class Display:
    """What is running, how far, how long. Without a terminal, one line a finished cell."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._where = ""
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

    def start(self, cell: Cell) -> None:
        """A cell begins."""
        self._where = f"{cell.experiment} · {cell.info.label} · seed {cell.inputs.seeds.split}"
        self.phase("data")

    def phase(self, name: str) -> None:
        """A phase of the cell begins."""
        text = f"{self._where} · {name.replace('_', ' ')}"
        self._progress.update(self._task, description=text)

    def advance(self) -> None:
        """A cell was found finished."""
        self._progress.advance(self._task)

    def finish(self, record: Record) -> None:
        """A cell has run."""
        self.advance()
        if record.failure is not None:
            self._console.print(
                f"[red]failed[/red] {self._where}: {record.failure.message}", highlight=False
            )
        elif not self._console.is_terminal:
            self._console.print(f"{self._where}: {record.seconds:.2f} s", highlight=False)
