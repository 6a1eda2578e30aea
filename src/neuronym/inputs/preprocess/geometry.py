"""Where what a network sees lies in the original picture: the one place that knows.

A `Window` is the part of the original that becomes the network's input. All of what a layer's maps
say about places goes through it, whatever the preprocessing does: crop, squash or pad.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Left, top, right, bottom.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """The part of an original picture that a network sees, as fractions of the original.

    Where the picture is filled up (`pad`, or a crop larger than the picture), the window reaches
    beyond it: below 0 or above 1.

    Attributes:
        left, top, right, bottom: the window's edges, across and down the original.

    >>> Window(0.25, 0, 0.75, 1).on_image(0.5, 0.5)  # a square crop of a picture twice as wide
    (0.5, 0.5)
    """

    left: float
    top: float
    right: float
    bottom: float

    def on_image(self, y: float, x: float) -> tuple[float, float]:
        """Where a point of the input lies on the original, both as fractions (down, across).

        A point on the filled border lies outside 0…1.
        """
        down = self.top + y * (self.bottom - self.top)
        return down, self.left + x * (self.right - self.left)

    def on_input(self, y: float, x: float) -> tuple[float, float]:
        """Where a point of the original lies on the input: the reverse of `on_image`.

        A point that was cut off lies outside 0…1.
        """
        down = (y - self.top) / (self.bottom - self.top)
        return down, (x - self.left) / (self.right - self.left)

    def moved(self, down: float, across: float) -> Window:
        """The same, shifted by fractions of itself: where a layer looks that sees a little less of
        one side and more of the other."""
        y, x = down * (self.bottom - self.top), across * (self.right - self.left)
        return Window(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def box(self, inner: Box) -> Box:
        """A box of the input (left, top, right, bottom) on the original."""
        top, left = self.on_image(inner[1], inner[0])
        bottom, right = self.on_image(inner[3], inner[2])
        return left, top, right, bottom

    def cell(self, row: int, column: int, grid: tuple[int, int]) -> Box:
        """What of the original one cell of a map covers.

        Args:
            row, column: of the cell, counted from 0.
            grid: how many rows and columns the map has, which tile the input.
        """
        high, wide = grid
        inner = (column / wide, row / high, (column + 1) / wide, (row + 1) / high)
        return self.box(inner)

    def cells(self, outer: Box, grid: tuple[int, int]) -> tuple[slice, slice] | None:
        """The cells of a map (rows, columns) that a box of the original touches: the reverse of
        `cell`; None where the network sees nothing of it.

        A box without extent is a point; one on the line between two cells counts to the later.
        """
        top, left = self.on_input(outer[1], outer[0])
        bottom, right = self.on_input(outer[3], outer[2])
        rows = _touched(top, bottom, grid[0])
        columns = _touched(left, right, grid[1])
        return None if rows is None or columns is None else (rows, columns)


def _touched(low: float, high: float, count: int) -> slice | None:
    """The cells of `count` that tile 0…1 which an interval touches."""
    first, last = int(low * count // 1), -int(-high * count // 1)
    first, last = max(first, 0), min(max(last, first + 1), count)
    return slice(first, last) if first < last and high >= 0 and low <= 1 else None
