"""What a report is made of; how each part looks is up to `html` and `markdown`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuronym._core.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """Commands, and what each of them adds: (what, command)."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Text as it is in a file, folded away where that can be done."""

    title: str
    text: str


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure.

    Attributes:
        name: the name under which it is registered.
        title: what is seen; also the text for those who cannot see it.
        figure: the drawing.
    """

    name: str
    title: str
    figure: Figure


@dataclass(frozen=True)
class Neuron:
    """A neuron on a card.

    Attributes:
        name: `layer4:1802`.
        label: its first label; empty: it abstains.
        details: score, class, trust, next labels: short phrases.
        images: its highest activating images, best first: id and file; None where there is none.
    """

    name: str
    label: str
    details: tuple[str, ...]
    images: tuple[tuple[str, Path | None], ...]


@dataclass(frozen=True)
class Neurons:
    """Several neurons on cards."""

    items: tuple[Neuron, ...]


Block = Text | Bullets | Commands | Code | Picture | Neurons | Table


@dataclass(frozen=True)
class Section:
    """A headed part; `name` is its address in the page."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: of the page.
        lead: the sentences that say most.
        sections: in order.
        left_out: what the atlas has no material for, each with the reason.
    """

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]
    left_out: tuple[str, ...]
