"""The documentation as a site: every page has its place, under the name that the index gives it."""

from __future__ import annotations

import re

from places import ROOT

PAGES = {path.name for path in (ROOT / "docs").glob("*.md")}


def test_every_page_has_a_place() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"([\w-]+\.md)$", menu, re.MULTILINE)
    assert sorted(listed) == sorted(PAGES)
    named = dict(re.findall(r"^\s+- \"?(.+?)\"?: ([\w-]+\.md)$", menu, re.MULTILINE))
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    linked = dict(re.findall(r"^- \[(.+?)\]\(([\w-]+\.md)\)", index, re.MULTILINE))
    assert {name.replace("`", ""): page for name, page in linked.items()} | {
        "Overview": "index.md"
    } == named
    groups = re.findall(r"^  - (\w[\w ]*):$", menu, re.MULTILINE)
    assert groups == re.findall(r"^## (.+)$", index, re.MULTILINE)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {f"docs/{page}" for page in PAGES} <= set(re.findall(r"\((docs/[\w-]+\.md)\)", readme))
