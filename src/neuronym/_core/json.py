"""Data as JSON has it."""

from __future__ import annotations

import math
from typing import Any


def clean(data: Any) -> Any:
    """The same data with plain Python numbers and no NaN."""
    if isinstance(data, dict):
        return {str(k): clean(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [clean(v) for v in data]
    if hasattr(data, "tolist"):
        return clean(data.tolist())
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
