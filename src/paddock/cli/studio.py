"""`paddock studio STUDY.yaml` serves a study to people; `paddock studio export` writes what they answered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paddock.cli.options import AsJson, group_with_default, show

app = typer.Typer(
    cls=group_with_default("serve"),
    help="Have people rate, compare and write replies (paper sections 3.1 and 3.4): paddock studio STUDY.yaml --out FOLDER",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", help="The study's folder.", file_okay=False)]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="PADDOCK_STUDIO_DATABASE",
        help="postgresql://user:password@host/name, or sqlite:///file.",
        show_default="study.sqlite in --out",
    ),
]


@app.command()
def serve(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="What is asked of whom: docs/studio.md.", dir_okay=False)
    ],
    out: Out,
    database: Database = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0: any free port.")] = 8000,
    host: Annotated[str, typer.Option("--host", help="The address to listen on; 0.0.0.0: every one.")] = "127.0.0.1",
    address: Annotated[
        str | None, typer.Option("--address", help="Where people reach it, for links: https://studio.example.org.")
    ] = None,
) -> None:
    """Serve a study; prints a link to sign in with for everybody. Given again, it goes on."""
    from paddock.studio.server import serve as serve_study
    from paddock.studio.study import read_study

    serve_study(read_study(file), out, database, host, port, address)


@app.command()
def export(
    out: Out,
    database: Database = None,
    to: Annotated[Path | None, typer.Option("--to", help="Where the files go.", show_default="export in --out")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the answers as JSON Lines, CSV and Parquet, and what models learn from in the formats that they read."""
    from paddock.studio.export import write_exports
    from paddock.studio.opening import reopen

    folder = to or out / "export"
    counts = write_exports(reopen(out, database), folder)
    show({"folder": str(folder), **counts}, as_json)
