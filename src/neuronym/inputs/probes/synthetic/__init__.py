"""The embedded probe: pictures drawn on the spot, with exact masks, and a few photographs."""

from __future__ import annotations

from neuronym.inputs.probes.synthetic.probe import SyntheticProbe, open_synthetic

__all__ = ["SyntheticProbe", "open_synthetic"]
