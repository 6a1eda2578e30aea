"""Properties that are made once, also where several threads ask at once."""

from __future__ import annotations

import functools
import threading
from typing import Any


class cached(functools.cached_property):  # noqa: N801  (used as a decorator)
    """A cached property that only one thread makes, while the others wait for it.

    `functools.cached_property` lets each of them make it: ten requests would open ten encoders.
    Two properties of one object are made side by side; an error is not kept.
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        # Once made, it is found in `__dict__` before this is ever asked.
        made = instance.__dict__
        with made.setdefault(f"_lock of {self.attrname}", threading.RLock()):
            if self.attrname not in made:
                made[self.attrname] = self.func(instance)
            return made[self.attrname]
