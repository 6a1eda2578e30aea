"""The site on a server: read-only, unless it was started for annotating."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import importlib.resources
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from neuronym._core import storage
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.folders import without_folders
from neuronym.atlas.reader import Atlas
from neuronym.report.plots.base import FIGURES
from neuronym.web.addresses import Addresses, Asked
from neuronym.web.pages import annotate, report, search
from neuronym.web.pages.base import NotFoundError, Page, Query
from neuronym.web.site import POLICY, Message, Site
from neuronym.web.uploads import parts_of
from neuronym.web.view import View

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FOREVER = "max-age=31536000, immutable"
_ADDRESS = 16384  # bytes of an address with its query, at most: a hundred layers may stand in it
_FORM = 16384  # bytes of a form, at most
_PICTURE = 20 << 20  # bytes of a form with a picture
_KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "png": "image/png",
}
#: A drawing is an image of the site's own making, styled inside.
_DRAWING = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_KEPT = 24  # pages that are costly and always the same; the largest have 2 MB
_LOG = logging.getLogger(__name__)


def application(
    atlases: Sequence[Atlas],
    *,
    writing: bool = False,
    hosts: Sequence[str] = (),
    access: str | None = None,
) -> Starlette:
    """The site as an ASGI application.

    Args:
        atlases: opened.
        writing: let readers annotate.
        hosts: names under which it may be asked, beside those of this machine itself. Others are
            refused, so that no foreign page can reach it through a name of its own.
        access: a token without which nothing is shown. None: everyone who reaches it may read.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    shown = _Shown(Site(atlases, writing=writing), access)
    routes = [
        Route("/static/{name}", shown.guarded(shown.static)),
        Route("/a/{atlas}/thumbs/{name}", shown.guarded(shown.thumb)),
        Route("/a/{atlas}/report/{name}", shown.guarded(shown.drawing)),
        Route(
            "/a/{atlas}/picture", shown.guarded(shown.picture, _PICTURE), methods=["GET", "POST"]
        ),
    ]
    if writing:
        routes += [
            Route("/a/{atlas}/annotate", shown.guarded(shown.answer), methods=["POST"]),
            Route("/a/{atlas}/annotate/next", shown.guarded(shown.following)),
            Route("/a/{atlas}/annotate/complete.json", shown.guarded(shown.complete)),
        ]
    routes.append(Route("/{path:path}", shown.guarded(shown.page)))
    allowed = ["localhost", "127.0.0.1", "[::1]", "testserver", *hosts]
    made = Starlette(
        routes=routes,
        middleware=[
            Middleware(_Headed),
            Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
        ],
    )
    made.state.warm = shown.warm
    return made


class _Headed:
    """Adds the headers of every answer, also to those that the framework gives by itself."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import MutableHeaders

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, told)


class _Shown:
    """What answers requests."""

    def __init__(self, site: Site, access: str | None) -> None:
        self._site, self._at, self._access = site, Addresses(), access
        self._token = secrets.token_urlsafe(24)
        # Cookies know no ports: each server has its own name for its own.
        digest = hashlib.sha256((access or "").encode()).hexdigest()
        self._cookie = f"neuronym-{digest[:12]}"
        self._kept: OrderedDict[Any, str] = OrderedDict()

    def guarded(self, answer: Any, most: int = _FORM) -> Any:
        """The same, for those who may ask and ask for what can be.

        Args:
            answer: (request, form) → response; runs in a thread.
            most: bytes of a form.
        """
        from starlette.concurrency import run_in_threadpool

        async def asked(request: Request) -> Response:
            as_json = _as_json(request)
            if len(request.scope["path"]) + len(request.scope["query_string"]) > _ADDRESS:
                return self._message(414, "This is too long", "The address is too long.")
            if self._access is not None and not self._may(request):
                return self._let_in(request)
            form = Query()
            if request.method == "POST":
                if _foreign(request):
                    return self._not_saved()
                body = await _body(request, most)
                if body is None:
                    return self._message(413, "This is too much", f"At most {_size(most)}.")
                form = parts_of(body, request.headers.get("content-type", ""))
                if not _same(form.get("token", ""), self._token):
                    return self._not_saved()
            try:
                if self._site.refresh():
                    self._kept.clear()
                return await run_in_threadpool(answer, request, form)
            except NotFoundError as error:
                return self._message(404, "Not found", str(error), as_json, request)
            except NeuronymError as error:
                return self._message(500, "This cannot be shown", str(error), as_json)
            except PermissionError as error:
                text = str(storage.cannot_read(error.filename or "a file of the atlas", error))
                return self._message(500, "This cannot be shown", text, as_json)
            except Exception:
                _LOG.exception("%s %s", request.method, request.scope["path"])
                return self._message(
                    500,
                    "This cannot be shown",
                    "Something in the atlas is not as it should be, "
                    "or neuronym has a mistake. What happened stands where the server runs.",
                    as_json,
                )

        return asked

    def _not_saved(self) -> Response:
        return self._message(
            403,
            "Not done",
            "This form is not from this server, or from before it was started "
            "anew. Go back, load the page again, and send it once more.",
        )

    def _may(self, request: Request) -> bool:
        return _same(request.cookies.get(self._cookie, ""), self._access or "")

    def _let_in(self, request: Request) -> Response:
        """With the right token in the address: a cookie in its place."""
        given = request.query_params.get("token", "")
        if not _same(given, self._access or ""):
            return self._message(
                403,
                "Not for everyone",
                "Open the address that `neuronym serve` printed: it ends in ?token=…",
            )
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        # Two slashes would lead to another server.
        path = "/" + request.scope["path"].lstrip("/\\")
        answer = self._redirect(quote(path) + ("?" + urlencode(rest) if rest else ""))
        # Links that are followed from other sites bring it, their forms do not.
        answer.set_cookie(self._cookie, given, httponly=True, samesite="lax")
        return answer

    # -- reading ---------------------------------------------------------------------------------

    def warm(self) -> None:
        """Make what the first reader would wait for: the home pages."""
        for name in self._site.views:
            with contextlib.suppress(Exception):  # who asks for the page is told
                self._text(self._site.page(("a", name)), self._site.views[name], "a", name)

    def page(self, request: Request, form: Query) -> Response:
        """A page, as HTML or as JSON."""
        as_json = _as_json(request)
        path = request.path_params["path"].removesuffix(".json" if as_json else "")
        parts = [part for part in path.split("/") if part]
        if as_json and parts == ["index"]:
            parts = []
        elif len(self._site.views) == 1 and parts in ([], ["annotate"]):
            return self._go("a", next(iter(self._site.views)), *parts)
        view = self._site.views.get(parts[1]) if len(parts) > 1 else None
        plain = not (as_json or request.query_params)
        kept = self._kept.get((view, *parts)) if plain else None
        if kept is not None:
            return _answer(kept, "text/html")
        found = self._site.page(parts, _query(request))
        if as_json:
            return _answer(self._site.json(found), "application/json")
        if isinstance(found, search.SearchPage) and found.exact:
            card = found.named[0]
            return self._go("a", parts[1], "unit", card.layer, str(card.unit))
        return _answer(self._text(found, *((view, *parts) if plain else ())), "text/html")

    def _text(self, found: Page, *key: Any) -> str:
        """A page as HTML, kept by a key, if there is one, where that is worth it."""
        text = self._site.html(found, self._at, token=self._token)
        if found.steady and key:
            self._kept[key] = text
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return text

    def thumb(self, request: Request, form: Query) -> Response:
        """The small copy of an image."""
        view, name = self._view(request), request.path_params["name"]
        if name not in view.thumb_files:
            raise NotFoundError("There is no such image.")
        try:
            content = (view.atlas.folder / "thumbs" / name).read_bytes()
        except OSError as error:  # the atlas is being replaced
            raise NotFoundError("There is no such image.") from error
        who = "public" if self._access is None else "private"
        return _answer(content, "image/jpeg", 200, **{"Cache-Control": f"{who}, {_FOREVER}"})

    def drawing(self, request: Request, form: Query) -> Response:
        """A figure of the report."""
        view, name = self._view(request), request.path_params["name"]
        stem, _, ending = name.rpartition(".")
        # Which of the figures this report has is known when it is made, which takes seconds.
        if stem not in FIGURES or name not in (files := report.made(view)[1]):
            raise NotFoundError("There is no such figure.")
        return _answer(files[name], _KINDS[ending], 200, **{"Content-Security-Policy": _DRAWING})

    def picture(self, request: Request, form: Query) -> Response:
        """A search by a picture that was sent; nothing of it is kept."""
        view, content = self._view(request), form.get("picture", b"")
        if request.method != "POST":  # the page of an earlier search, loaded again
            return self._go("a", view.name, "search")
        content = content if isinstance(content, bytes) else content.encode()
        by = str(form.get("by"))
        by = by if by in ("encoder", "place") else "target"
        found = search.by_picture(view, content, by, str(form.get("at", "")))
        text = self._site.html(found, self._at, token=self._token)
        return _answer(text, "text/html", 200 if found.picture else 422)

    def static(self, request: Request, form: Query) -> Response:
        """Style, scripts, icon."""
        files, name = static_files(), request.path_params["name"]
        if name not in files:
            raise NotFoundError("There is no such file.")
        return _answer(files[name], _KINDS[name.rpartition(".")[2]])

    # -- annotating ------------------------------------------------------------------------------

    def following(self, request: Request, form: Query) -> Response:
        """To the next neuron without an answer."""
        view = self._view(request)
        session = annotate.Session.of(view, _query(request))
        if not session.annotator:
            return self._go("a", view.name, "annotate", query=session.query)
        return self._next(view, session, None)

    def answer(self, request: Request, form: Query) -> Response:
        """Save an answer; only from a form of this server."""
        view, form = self._view(request), form.texts()
        try:
            if form.get("status") == "undo":
                session, taken = annotate.undo(view, form)
                if taken is None:
                    return self._next(view, session, None)
                return self._go(
                    "a", view.name, "annotate", taken[0], str(taken[1]), query=session.query
                )
            session, unit = annotate.answer(view, form)
        except UsageError as error:
            parts = ("a", view.name, "annotate", form.get("layer", ""), form.get("unit", ""))
            asked = self._site.page(parts, form)
            body = self._site.html(
                asked, self._at, token=self._token, problem=without_folders(str(error))
            )
            return _answer(body, "text/html", status=422)
        except NeuronymError as error:
            return self._message(500, "Not saved", str(error))
        return self._next(view, session, unit)

    def _next(
        self, view: View, session: annotate.Session, after: tuple[str, int] | None
    ) -> Response:
        unit = annotate.following(view, session, after)
        if unit is None:
            return self._message(200, "All answered", "Every neuron of these layers has an answer.")
        return self._go("a", view.name, "annotate", unit[0], str(unit[1]), query=session.query)

    def complete(self, request: Request, form: Query) -> Response:
        """Concepts that go on from some letters, as JSON."""
        import json

        words = annotate.complete(self._view(request), request.query_params.get("q", "")[:200])
        return _answer(json.dumps(words), "application/json")

    # -- parts -----------------------------------------------------------------------------------

    def _view(self, request: Request) -> View:
        view = self._site.views.get(request.path_params["atlas"])
        if view is None:
            raise NotFoundError("There is no such atlas.")
        return view

    def _go(self, *parts: str, query: Asked | None = None) -> Response:
        return self._redirect(self._at.page(*parts, query=query))

    def _redirect(self, address: str) -> Response:
        from starlette.responses import RedirectResponse

        return RedirectResponse(address, 303)

    def _message(
        self,
        status: int,
        title: str,
        text: str,
        as_json: bool = False,
        request: Request | None = None,
    ) -> Response:
        asked = request.scope["path"].split("/") if request is not None else []
        known = asked[1:2] == ["a"] and len(asked) > 2 and asked[2] in self._site.views
        said = Message(title, without_folders(text), ("a", asked[2]) if known else ())
        if as_json:
            return _answer(self._site.json(said), "application/json", status)
        return _answer(self._site.html(said, self._at), "text/html", status)


@functools.cache
def static_files() -> dict[str, bytes]:
    """Style, scripts and icon by name."""
    folder = importlib.resources.files("neuronym.web") / "static"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


async def _body(request: Request, most: int) -> bytes | None:
    """What was sent; None if it is too large."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _foreign(request: Request) -> bool:
    """Whether a browser says that another site's page sent this."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return True
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def _query(request: Request) -> Query:
    return Query(request.query_params.multi_items())


def _same(given: Any, right: str) -> bool:
    """Whether a secret is the right one, in a time that does not tell how much of it is."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), right.encode())


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >> 20 else f"{count >> 10} kB"


def _as_json(request: Request) -> bool:
    return request.scope["path"].endswith(".json")


def _answer(body: str | bytes, kind: str, status: int = 200, **headers: str) -> Response:
    from starlette.responses import Response

    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    told = {"Cache-Control": "no-cache", **headers}
    return Response(content, status, told, media_type=kind)
