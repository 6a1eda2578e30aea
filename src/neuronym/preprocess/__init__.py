"""From a decoded image to a network's input: settings, and those that published models state."""

from neuronym.preprocess.base import Preprocess
from neuronym.preprocess.published import from_hf, from_open_clip, from_timm, from_torchvision

__all__ = ["Preprocess", "from_hf", "from_open_clip", "from_timm", "from_torchvision"]
