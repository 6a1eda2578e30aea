"""Neurons in notebooks: HTML that needs nothing but itself, on light and dark pages.

Pictures are small and lie in the text; colours are the page's own; whatever comes from an atlas is
escaped.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuronym._core.checks import Verbatim, integer, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted, printable
from neuronym.atlas.statement import leading

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.unit import Unit

#: Pictures in one output, each of at most so many pixels a side: with all of them some 500 kB.
PICTURES, SIDE = 120, 96
#: Neurons in one output where none has a picture.
_ROWS = 60
#: Columns of a frame that a gallery says in its own way, or not at all.
_SAID = {"layer", "unit", "confidence", "abstained", "reason", "significant"}
_BOX = (
    "font:14px/1.45 system-ui,sans-serif;color:inherit;background:transparent;text-align:left;"
    "max-width:60em"
)
_RULE = "border-top:1px solid rgba(128,128,128,.45);padding:.5em 0"
_PALE = "opacity:.75;font-size:.9em"


@dataclass(frozen=True, eq=False)
class Gallery:
    """Neurons with their pictures; a notebook shows it.

    Attributes:
        html: what is shown: one element, without scripts and without anything from elsewhere.
        shown: how many neurons it holds.
        given: how many there were.
    """

    html: str
    shown: int
    given: int

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Gallery of {counted(self.given, 'neuron')}: a notebook shows it>"


def gallery(atlas: Atlas, frame: pd.DataFrame, images: int, method: str | None) -> Gallery:
    """See `Atlas.gallery`."""
    lacking = {"layer", "unit"} - set(map(str, getattr(frame, "columns", ())))
    if lacking:
        got = Verbatim(f"one without {' and '.join(sorted(lacking))}")
        raise misuse("frame", "a table with the columns layer and unit", got)
    count = integer("images", images, 0)
    units = frame.drop_duplicates(["layer", "unit"])
    shown = units.head(min(_ROWS, max(1, PICTURES // count)) if count else _ROWS)
    for layer, unit in zip(shown["layer"], shown["unit"], strict=True):
        atlas.check_unit(layer, unit)
    first = _first(atlas, method)
    rows = [_row(atlas, row, count, first) for row in shown.to_dict("records")]
    rest = len(units) - len(shown)
    if rest:
        said = f"The first {len(shown):,} of {len(units):,} neurons."
        rows.append(f'<div style="{_RULE};{_PALE}">{said}</div>')
    if not rows:
        rows = [f'<div style="{_PALE}">No neurons.</div>']
    return Gallery(_box(rows), len(shown), len(units))


def unit_html(unit: Unit) -> str | None:
    """One neuron: the statement that leads, further labels, the highest images.

    None: the atlas has no labels yet.
    """
    atlas = unit.atlas
    try:
        method = atlas.method(None)
        others = unit.labels(method)
    except NeuronymError:
        return None
    row = {"layer": unit.layer, "unit": unit.index}
    more = [
        f"{concept} {score:.3g}"
        for concept, score in zip(others["concept"][1:5], others["score"][1:5], strict=True)
        if isinstance(concept, str)
    ]
    lines = [f"also: {' · '.join(more)}"] if more else []
    lines.append(f"labels of {method}")
    body = _row(atlas, row, 8, _first(atlas, method), tuple(lines))
    return _box([body])


def atlas_html(atlas: Atlas, best: int = 6) -> str | None:
    """What an atlas is of, its layers, and the neurons whose labels one can rely on most.

    None: it has no labels yet.
    """
    facts = atlas.shown
    try:
        top = atlas.top(best)
        first = atlas.first_labels()
    except NeuronymError:
        return None
    by = top.attrs["by"]
    named = first[~first["abstained"].astype(bool)].groupby("layer").size()
    layers = [
        f"{name}: {counted(about['units'], 'neuron')}, {int(named.get(name, 0)):,} labelled"
        for name, about in list(atlas.layers.items())[:8]
    ]
    left = len(atlas.layers) - len(layers)
    layers += [f"and {counted(left, 'layer')} more"] if left > 0 else []
    what = [f"{facts.probe.images or 0:,} images of {facts.probe.name}", facts.concepts.name]
    head = (
        f"<div><b>{_text(facts.target.name)}</b> "
        f'<span style="{_PALE}">{_text(", ".join([*what, f"labels of {atlas.methods[0]}"]))}</span>'
        f'</div><div style="{_PALE}">{_text(" · ".join(layers))}</div>'
        f'<div style="margin-top:.5em">The neurons to rely on most, by {_text(by)}:</div>'
    )
    return _box([head, gallery(atlas, top[["layer", "unit"]], 5, None).html])


def _first(atlas: Atlas, method: str | None) -> dict[tuple[str, int], dict[str, Any]]:
    """The first label of every unit."""
    rows = atlas.first_labels(method=method).to_dict("records")
    return {(row["layer"], row["unit"]): row for row in rows}


def _row(
    atlas: Atlas,
    row: dict[str, Any],
    count: int,
    first: dict[tuple[str, int], dict[str, Any]],
    lines: tuple[str, ...] = (),
) -> str:
    layer, unit = row["layer"], int(row["unit"])
    label = first.get((layer, unit), {})
    silent = bool(label.get("abstained", True))
    own = atlas.class_names(layer).get(unit)
    said = leading(
        None if silent else _known(label.get("concept")),
        _known(label.get("confidence")),
        _known(label.get("reason")),
    )
    more = [
        f"{name} {_short(value)}"
        for name, value in row.items()
        if name not in _SAID and _known(value) is not None and not _same(name, value, label)
    ]
    name = f"{layer}:{unit}" + (f" · class {own}" if own else "")
    about = [f'<b>{_text(said)}</b> <span style="{_PALE}">{_text(name)}</span>']
    for line in (*([", ".join(more)] if more else []), *lines):
        about.append(f'<div style="{_PALE}">{_text(line)}</div>')
    return f'<div style="{_RULE}">{"".join(about)}{_pictures(atlas, layer, unit, count)}</div>'


def _pictures(atlas: Atlas, layer: str, unit: int, count: int) -> str:
    if not count:
        return ""
    found = []
    for row in atlas.exemplars(layer, unit).sort_values("rank").head(count).itertuples():
        address = _address(atlas, row.image_id)
        if address:
            found.append(
                f'<img src="{address}" alt="{_text(row.image_id)}" title="{_text(row.image_id)}" '
                f'style="width:{SIDE}px;height:{SIDE}px;object-fit:cover;margin:.3em .3em 0 0">'
            )
    empty = f'<div style="{_PALE}">The atlas has no small copies of its images.</div>'
    return f"<div>{''.join(found)}</div>" if found else empty


def _address(atlas: Atlas, image_id: str) -> str | None:
    """The small copy of an image as an address that holds it."""
    from PIL import Image, UnidentifiedImageError

    path = atlas.thumb(image_id)
    if path is None:
        return None
    out = io.BytesIO()
    try:
        with Image.open(path) as opened:
            small = opened.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    small.thumbnail((SIDE, SIDE))
    small.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _same(name: str, value: Any, label: dict[str, Any]) -> bool:
    """Whether a frame says of a unit what its first label says already."""
    return name in ("concept", "rank") and label.get(name) == value


def _known(value: Any) -> Any:
    return None if value is None or value != value else value


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:120]


def _text(text: Any) -> str:
    return html.escape(printable(str(text)))


def _box(parts: list[str]) -> str:
    return f'<div class="neuronym" style="{_BOX}">{"".join(parts)}</div>'
