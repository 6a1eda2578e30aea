"""What was not run, and the commands that would add it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from neuronym.analysis.trust.base import ANALYSES
from neuronym.report.plots.base import Selection
from neuronym.report.summary import examinable, option


def commands(seen: Selection) -> Iterator[tuple[str, str]]:
    """What the atlas lacks and can have: (what it says, command)."""
    atlas, place = seen.atlas, shlex.quote(seen.atlas.name)
    method = option(atlas, seen.method)
    for entry in ANALYSES:
        if entry.name not in atlas.analyses(seen.method) and examinable(
            atlas, seen.method, entry.name
        ):
            yield entry.summary, f"neuronym trust {place} {entry.name}{method}"
    if seen.truth is None:
        classes = atlas.class_names(list(atlas.layers)[-1])
        spec = "classes" if classes and list(atlas.layers)[-1] in seen.layers else "FILE.csv"
        yield "Which labels are right.", f"neuronym report {place} --truth {spec}{method}"
    if not atlas.imported:
        yield "What holds when images, words and prompts change.", f"neuronym stability {place}"
        if len(atlas.methods) == 1:
            yield (
                "What another method says of the same neurons.",
                (f"neuronym label {place} --method csp"),
            )
