"""Units that feed units, as an atlas keeps them: a table per pair of layers, read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuronym._core.errors import UsageError
from neuronym.atlas import schema

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.reader import Atlas


def read_links(atlas: Atlas, from_layer: str | None, to_layer: str | None) -> pd.DataFrame:
    """See `Atlas.links`."""
    import pandas as pd

    for layer in filter(None, (from_layer, to_layer)):
        atlas.check_unit(layer)
    there = [(facts.from_layer, facts.to_layer) for facts in atlas.manifest.links.values()]
    order = list(atlas.layers)
    wanted = sorted(
        (pair for pair in there if from_layer in (None, pair[0]) and to_layer in (None, pair[1])),
        key=lambda pair: (order.index(pair[1]), order.index(pair[0])),
    )
    if not wanted:
        ends = {"from": from_layer, "to": to_layer}
        which = "".join(f" {end} {layer}" for end, layer in ends.items() if layer)
        asked = "".join(f" --{end} {layer}" for end, layer in ends.items() if layer)
        raise UsageError(
            f"Expected {atlas.folder} to hold links{which}, got none. Find them with "
            f"`neuronym links {atlas.folder}{asked}`."
        )
    tables = [atlas.table(schema.links_file(*pair)) for pair in wanted]
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
