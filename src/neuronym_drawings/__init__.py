"""Pictures with exact masks, drawn from nothing but random numbers: the probe `synthetic`.

The package knows nothing of neurons and needs numpy and Pillow only. `catalogue(seed)` lists the
pictures; `draw(picture, seed)` draws one.
"""

from __future__ import annotations

from neuronym_drawings.catalogue import Picture, catalogue, draw

__all__ = ["Picture", "catalogue", "draw"]
