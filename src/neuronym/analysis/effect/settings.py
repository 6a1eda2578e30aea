"""How the effect of units is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.registry import Parameterised, number, whole, word

#: Images of either kind that a unit needs: three to choose outputs on, three to measure.
FEWEST = 6


@dataclass(frozen=True)
class How(Parameterised):
    """What is done to a unit, and on what the difference is measured.

    Args:
        mode: mean: the unit puts out its mean over random images everywhere; zero: 0; steer: it
            puts out `amount` standard deviations more than it would.
        amount: of steering, in standard deviations of the unit's recorded activation.
        images: exemplars per unit, and random images.
        outputs: how many outputs are tested that fall, and how many that rise.
        seed: of the draw of random images.
    """

    name: ClassVar[str] = "effect"
    mode: str = word("mean", ["mean", "zero", "steer"])
    amount: float = number(3.0, -1000, 1000)
    images: int = whole(20, low=FEWEST)
    outputs: int = whole(5, low=1)
    seed: int = whole(0, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode != "steer" and self.amount != How.amount:
            raise misuse("mode", "steer where an amount is given", Verbatim(self.mode))
        if self.amount == 0:
            raise misuse("amount", "a number of standard deviations other than 0", 0)

    @property
    def id(self) -> str:
        """Its name in an atlas: the mode, with a hash where other settings are not the defaults."""
        plain = self.spec == How(self.mode).spec
        return self.mode if plain else f"{self.mode}.{hashing.of_data(self.spec)[:6]}"

    @property
    def words(self) -> str:
        """What is done to a unit, as a clause.

        >>> How().words, How("steer", amount=-2).words
        ('it puts out its mean', 'it puts out 2 standard deviations less')
        """
        if self.mode == "steer":
            way = "more" if self.amount > 0 else "less"
            return f"it puts out {abs(self.amount):g} standard deviations {way}"
        return f"it puts out {'its mean' if self.mode == 'mean' else '0'}"
