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

    ends = {"from": from_layer, "to": to_layer}
    given = [f"{end} {layer}" for end, layer in ends.items() if layer is not None]
    for layer in filter(None, ends.values()):
        atlas.check_unit(layer)
    pairs = [(facts.from_layer, facts.to_layer) for facts in atlas.manifest.links.values()]
    pairs = [p for p in pairs if from_layer in (None, p[0]) and to_layer in (None, p[1])]
    if not pairs:
        raise UsageError(
            f"Expected {atlas.folder} to hold {' '.join(['links', *given])}, got none. Find "
            f"them with `{' --'.join([f'neuronym links {atlas.folder}', *given])}`."
        )
    pairs.sort(key=lambda pair: [list(atlas.layers).index(layer) for layer in pair[::-1]])
    tables = [atlas.table(schema.links_file(*pair)) for pair in pairs]
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
