"""The commands of data: `lethe data hash`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.console import console
from benchmark.errors import LetheError, explain

app = typer.Typer(no_args_is_help=True, help="Print the content hash of data of your own.")
out = console()


@app.callback()
def _data() -> None:
    """Commands on data of your own."""


@app.command("hash")
def hash_(
    file: Annotated[
        Path,
        typer.Argument(help="csv, parquet, npz, a folder of datasets, or an experiment's .toml."),
    ],
    target: Annotated[
        str | None, typer.Option(help="The column to predict; a table needs one.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="The column that identifies a row.")] = None,
    group: Annotated[
        str | None, typer.Option(help="The column of groups that stay together.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A column to leave out; repeatable.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification or regression, where data do not tell.")
    ] = None,
) -> None:
    """Read data, check them, and print their content hash, which no order of rows changes."""
    from pydantic import ValidationError

    from benchmark.data.own.spec import OwnData
    from benchmark.experiments.experiment import load

    roles = {"target": target, "id": id, "group": group, "drop": tuple(drop or ()), "task": task}
    given = {name: value for name, value in roles.items() if value}
    if file.suffix == ".toml":
        if given:
            raise LetheError(
                "an experiment's file says what its columns are for: leave options out"
            )
        data = load(str(file)).problem.data
        if not isinstance(data, OwnData):
            raise LetheError(f"{file.name} is of the data set '{data}', whose hash Lethe knows")
    else:
        try:
            data = OwnData.model_validate(_settings(file, given))
        except ValidationError as error:
            raise explain(error, file.name, OwnData) from error
        data = data.located(Path.cwd())
    found = data.load()
    part = found.train
    inputs = "x".join(map(str, part.rows.shape[1:]))
    columns = f"{len(found.columns)} columns, " if found.columns else ""
    out.print(part.content_hash)
    what = f"{found.classes} classes" if found.target is None else found.target.in_words
    out.print(f"{len(part.labels)} rows, {columns}{inputs} inputs, {what}")
    for caveat in found.caveats:
        out.print(f"caveat: {caveat}", soft_wrap=True)


def _settings(file: Path, roles: dict[str, Any]) -> dict[str, Any]:
    """The settings that an experiment would have for a file.

    Raises:
        LetheError: if its name does not tell its kind, or a table has no target.
    """
    from benchmark.data.own.spec import own_kind

    kind = "datasets" if file.is_dir() else own_kind(file.name)
    if kind is None:
        raise LetheError(
            f"{file.name} is no .csv, .tsv, .parquet, .npz, .toml or folder: rename it"
        )
    if kind != "npz" and "target" not in roles:
        raise LetheError(f"{file.name}: name the column to predict with --target")
    separator = {"separator": "\t"} if file.suffix == ".tsv" else {}
    return {kind: str(file)} | separator | roles
