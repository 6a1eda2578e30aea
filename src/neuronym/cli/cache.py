"""`neuronym cache`: what is kept between runs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from neuronym._core.checks import choice
from neuronym._core.terminal import add_row, console, size
from neuronym.cli.options import JsonOption
from neuronym.cli.output import print_json

app = typer.Typer(
    help="Look at and empty the cache of activations and embeddings.", invoke_without_command=True
)
RootOption = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Cache directory. Default: $NEURONYM_CACHE or the user's cache directory.",
    ),
]


@app.callback()
def cache(context: typer.Context) -> None:
    """Look at and empty the cache of activations and embeddings."""
    if context.invoked_subcommand is None:
        list_cache()


@app.command("list")
def list_cache(cache: RootOption = None, json: JsonOption = False) -> None:
    """Show what is cached, most recently used first."""
    from neuronym.extraction.cache import Cache, limit_gb

    store, limit = Cache(cache), limit_gb()
    found = store.list()
    used = store.in_use() if found else set()
    if json:
        rows = [
            {**vars(s), "folder": str(store.root / s.name), "in_use": s.name in used} for s in found
        ]
        print_json({"root": str(store.root), "limit_gb": limit or None, "stored": rows})
        return
    if not found:
        print(f"Nothing is cached in {store.root}.")
        return
    from rich.table import Table

    of = f" of {limit:g} GB" if limit else ", without a limit"
    table = Table(
        title=f"{store.root}: {size(sum(s.bytes for s in found))}{of}", title_justify="left"
    )
    for heading in ("kind", "of", "shards", "size", "last used"):
        table.add_column(heading, justify="right" if heading in ("shards", "size") else "left")
    for s in found:
        what = s.about.get("target") or s.about.get("encoder") or s.about.get("what", "")
        detail = s.about.get("layer") or s.about.get("concepts") or ""
        age = (time.time() - s.last_used) / 86400
        add_row(
            table,
            s.kind,
            f"{what} {detail}".strip(),
            f"{s.shards:,}",
            size(s.bytes),
            "in use" if s.name in used else "today" if age < 1 else f"{age:.0f} days ago",
        )
    console().print(table)


@app.command()
def prune(
    cache: RootOption = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", help="Only what was not used for so long.", min=0),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="Only activations, detections, embeddings, images or texts."
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Keep the most recently used up to so many GB.", min=0),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove cached arrays; without options, all that no run is using. Atlases are not touched."""
    from neuronym.extraction.cache import KINDS, Cache

    if kind is not None:
        choice("kind", kind, KINDS)
    gone = Cache(cache).prune(
        older_than_days=older_than,
        kind=kind,
        dry_run=dry_run,
        keep_bytes=None if keep is None else int(keep * 1e9),
    )
    total = sum(s.bytes for s in gone)
    if json:
        print_json({"removed": len(gone), "bytes": total, "dry_run": dry_run})
    else:
        print(f"{'Would remove' if dry_run else 'Removed'} {len(gone)} entries, {size(total)}.")
