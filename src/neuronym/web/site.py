"""The site over one or several atlases: from an address to a page, from a page to HTML or JSON."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from neuronym._core.cached import cached
from neuronym._core.errors import NeuronymError
from neuronym._core.json import clean
from neuronym._core.terminal import counted
from neuronym._core.words import fold
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.report.summary import score_text
from neuronym.web.addresses import Addresses, received, segment, without_dead_links
from neuronym.web.pages.base import NotFoundError, Page, Query, kinds
from neuronym.web.view import View, stamp

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


#: What a browser may load for a page: nothing that does not come from the site itself.
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'"
)
MENU = (("top", "Surest"), ("compare", "Compare"), ("report", "Report"), ("history", "History"))
WRITING = (("annotate", "Annotate"),)
#: Control characters, which no browser may get: all but tab and line feed.
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Start(Page):
    """The list of atlases, where there are several."""

    template: ClassVar[str] = "start.html"
    atlases: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Message(Page):
    """Something that went wrong, said to a reader."""

    template: ClassVar[str] = "message.html"


class Site:
    """Atlases by name.

    Args:
        atlases: opened; each is called after its folder.
        writing: whether annotations may be made.
        chosen: for each of the atlases the units that have pages, as `View` takes them.
    """

    def __init__(
        self,
        atlases: Sequence[Atlas],
        *,
        writing: bool = False,
        chosen: Sequence[dict[str, list[int]] | None] | None = None,
    ) -> None:
        self.views: dict[str, View] = {}
        self.writing, self.menu = writing, MENU + (WRITING if writing else ())
        for atlas, units in zip(atlases, chosen or [None] * len(atlases), strict=True):
            name = _free(_plain(atlas.folder.resolve().name), self.views)
            self.views[name] = View(name, atlas, self.views, units)
        self._refreshing = threading.Lock()

    def refresh(self) -> bool:
        """Open atlases anew that were added to or replaced since; what cannot be read stays.

        Returns:
            Whether there were any.
        """
        changed = False
        for name, view in list(self.views.items()):
            now = stamp(view.atlas.folder)
            if now in (view.stamp, None):
                continue
            with self._refreshing:
                if self.views[name] is not view:  # another thread was first
                    continue
                try:
                    self.views[name] = View(name, open_atlas(view.atlas.folder), self.views)
                    changed = True
                except NeuronymError:  # half written: it changes again when it is done
                    view.stamp = now
        return changed

    def page(self, parts: Sequence[str], query: Query | None = None) -> Page:
        """The page at an address.

        Args:
            parts: of the address, such as `("a", "demo", "unit", "_fc", "417")`.
            query: what stands behind the question mark.

        Raises:
            NotFoundError: there is none.
        """
        if not parts:
            return self._start()
        view = self.views.get(parts[1]) if len(parts) > 1 and parts[0] == "a" else None
        if view is None:
            raise NotFoundError("There is no such page.")
        kind = kinds().get(parts[2] if len(parts) > 2 else "")
        if kind is None or (kind.name == "annotate" and not self.writing):
            raise NotFoundError("There is no such page.")
        return kind.build(view, tuple(map(received, parts[3:])), query or Query())

    def _start(self) -> Start:
        told = tuple(
            {
                "name": name,
                "target": view.title,
                "units": len(view.units),
                "layers": list(view.layers),
                "probe": view.atlas.shown.probe.name,
            }
            for name, view in self.views.items()
        )
        return Start("neuronym", "Names for the neurons of vision networks.", (), told)

    def html(self, page: Page, at: Addresses, **more: Any) -> str:
        """A page as HTML; `more`: what only the server knows, such as the token of its forms."""
        view = self.views.get(page.parts[1]) if len(page.parts) > 1 else None
        kind = page.parts[2] if len(page.parts) > 2 else ""
        made = self._environment.get_template(page.template).render(
            page=page,
            at=at,
            view=view,
            kind=kind,
            many=len(self.views) > 1,
            menu=self.menu,
            policy=POLICY,
            query=getattr(page, "query", ""),
            **{"token": "", "problem": "", **more},
        )
        return without_dead_links(_CONTROL.sub("�", made))

    def json(self, page: Page) -> str:
        """A page as JSON. Numbers that are none (NaN, infinity) are null."""
        return json.dumps(clean(page.to_json()), ensure_ascii=False)

    @cached
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        made = Environment(
            loader=PackageLoader("neuronym.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {
            "counted": counted,
            "score": score_text,
            "fold": fold,
            "prose": _prose,
            "segment": segment,
        }
        return made


def _prose(text: str) -> Markup:
    """Escaped; what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _plain(name: str) -> str:
    """A folder's name as part of an address that is never hashed."""
    found = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower()[:60].rstrip("-")
    return found if found and segment(found) == found else f"atlas-{found}".rstrip("-")


def _free(name: str, taken: dict[str, View]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
