"""The pictures of the README, made from the atlas of `neuronym demo`.

    python -m benchmarks.readme demo-atlas

Draws the neuron with the surest label among those whose class is not known, with its activation
maps, and takes pictures of the site: its first page and that neuron's page. Needs chromium and
playwright.
"""

from __future__ import annotations

import argparse
import io
import shutil
import threading
from pathlib import Path

from PIL import Image

import neuronym as nym
from benchmarks.measure import ROOT

IMAGES = ROOT / "docs" / "images"
#: Of windows, in pixels of CSS.
WIDTH, HEIGHT = 1280, 900
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def surest(atlas: nym.Atlas) -> nym.Unit:
    """The neuron with the surest label outside of the layer of classes."""
    inner = [layer for layer in atlas.layers if not atlas.class_names(layer)]
    row = atlas.top(1, layers=inner).iloc[0]
    return atlas[row["layer"], int(row["unit"])]


def neuron(unit: nym.Unit) -> Image.Image:
    """Its sheet: nine images under their maps, labels and scores."""
    data = io.BytesIO()
    unit.figure(images=9, at=(5, 10), heat=bool(unit.atlas.manifest.maps.get(unit.layer))).savefig(
        data, dpi=110, bbox_inches="tight"
    )
    return Image.open(data).convert("RGB")


def pages(atlas: nym.Atlas, addresses: dict[str, str]) -> dict[str, Image.Image]:
    """Pictures of pages of the site by name, each of a full window."""
    from playwright.sync_api import sync_playwright

    from neuronym.web import serving

    socket = serving.listen("127.0.0.1", 0)
    at = serving.address("127.0.0.1", socket, None, None).rstrip("/")
    server = threading.Thread(
        target=serving.serve,
        args=([atlas], socket),
        kwargs={"writing": False, "access": None, "browse": None},
        daemon=True,
    )
    server.start()
    found = {}
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, _BROWSERS)), None)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, address in addresses.items():
            page.goto(at + address, wait_until="networkidle")
            found[name] = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    return found


def main() -> None:
    """Draw all, and say what is on them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("atlas", type=Path)
    atlas = nym.open(parser.parse_args().atlas)
    unit = surest(atlas)
    name = atlas.folder.name
    addresses = {
        "site-home": f"/a/{name}/",
        "site-neuron": f"/a/{name}/unit/{unit.layer}/{unit.index}?pictures=heat",
    }
    for file, picture in {"neuron": neuron(unit), **pages(atlas, addresses)}.items():
        picture.save(IMAGES / f"{file}.webp", quality=82, method=6)
        print(f"docs/images/{file}.webp: {picture.width} × {picture.height}")
    print(f"The neuron is {unit.name}, {unit.labels()['concept'].iloc[0]!r}.")


if __name__ == "__main__":
    main()
