"""Debian's Chromium through Playwright, with everything switched off that looks for a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.servers import unavailable

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --disable-quic --no-first-run"
).split()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open a browser; skips by name where Chromium is missing."""
    path = shutil.which("chromium")
    if path is None:
        unavailable("the browser tests need chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
