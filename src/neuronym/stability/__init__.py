"""How stable labels are: the published study, and what happens when images and words change."""

from __future__ import annotations

from neuronym.stability.configurations import Configuration, configurations, differences
from neuronym.stability.measures import jaccard, rbo, same_first
from neuronym.stability.study import IMAGES, PARTS, TEMPLATES, Settings, Study, study

__all__ = [
    "IMAGES",
    "PARTS",
    "TEMPLATES",
    "Configuration",
    "Settings",
    "Study",
    "configurations",
    "differences",
    "jaccard",
    "rbo",
    "same_first",
    "study",
]
