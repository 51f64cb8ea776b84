"""Looks at a page as a person would: in a real browser, wide and narrow, in light and dark, and with the accessibility checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


@contextmanager
def opened(browser: Any, url: str, width: int, scheme: str) -> Iterator[Any]:
    """The page of an address; afterwards it has said no error and asked no other host."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    home = urlsplit(url)

    def asked(request: Any) -> None:
        to = urlsplit(request.url)
        if (to.scheme, to.netloc) != (home.scheme, home.netloc) and to.scheme != "data":
            wrong.append(f"asked for {request.url}")

    page.on("request", asked)
    page.goto(url)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def look(
    browser: Any, axe: str, url: str, name: str, pictures: Path, ready: Callable[[Any], None] = lambda page: None
) -> list[Path]:
    """Look at an address at every width and in both schemes; the pictures. Nothing is wider than its page.

    ``axe`` is run where width and colours differ both; empty: nowhere."""
    taken = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            with opened(browser, url, width, scheme) as page:
                ready(page)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                taken.append(pictures / f"{name}-{width}-{scheme}.png")
                page.screenshot(path=taken[-1], full_page=True)
                if axe and (width, scheme) in zip(WIDTHS, SCHEMES, strict=True):
                    assert violations(page, axe) == []
    return taken


def violations(page: Any, axe: str) -> list[str]:
    """What bars people who can't see or can't use a mouse, as serious as that or worse."""
    page.evaluate(f"() => {{ {axe} }}")
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {one['help']} ({'; '.join(' '.join(map(str, node['target'])) for node in one['nodes'][:3])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
