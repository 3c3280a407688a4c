"""A real browser, and a lab that it looks at, in one process so that what is seen can be held
against what is there."""

import os
import shutil
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

EXPERIMENT = """
watch = ["loss", "mode-strengths", { kind = "weights", every = 5 }]
theories = ["decoupled"]

[architecture]
kind = "deep-linear"
hidden = [3]

[data]
kind = "gaussian"
n = 20
d = 4
k = 2
whitened = true

[rule]
kind = "gradient-descent"
rate = 0.05

[clock]
steps = 300
every = 3

[initial]
kind = "aligned"
strength = 0.05
"""


@pytest.fixture(scope="session")
def chromium():
    """Debian's or anyone's Chromium, driven by Playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium on the path: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def looked(chromium):
    """A function that opens a page and fails at the end where it said an error or fetched from
    elsewhere."""
    contexts, faults = [], []

    def look(address, width=1280, height=800, dark=False, scripts=True):
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.on("request", lambda asked: _own(asked.url, address) or faults.append(asked.url))
        page.goto(address)
        return page

    yield look
    for context in contexts:
        context.close()
    assert not faults, faults


def _own(url, address):
    return url.startswith(("data:", "blob:", address.split("?")[0].split("#")[0].rstrip("/")))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab on this machine, its server in a thread of this process."""
    for needed in ("uvicorn", "starlette", "websockets"):
        pytest.importorskip(needed, reason="needs the extra lab")
    from served import Served

    served = Served(tmp_path_factory.mktemp("runs"))
    served.address = f"http://{served.host}/?token={served.door.token}"
    yield served
    served.end()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core: named by LEARNMECH_AXE, or where `npm ci` in screen/ puts it."""
    given = os.environ.get("LEARNMECH_AXE")
    file = Path(given) if given else ROOT / "screen" / "node_modules" / "axe-core" / "axe.min.js"
    if not file.is_file():
        pytest.skip("needs axe-core: npm ci in screen/, or LEARNMECH_AXE=axe.min.js")
    return file.read_text(encoding="utf-8")


def asked(page, expression):
    """What an expression gives in the page; `store` is what the screen knows, `lab` the screen."""
    return page.evaluate(
        "(() => { const lab = document.querySelector('.learnmech')?.lab, store = lab?.store;"
        f" return {expression} }})()"
    )


def until(page, expression, seconds=40):
    """Wait until an expression holds in the page, whose policy lets no text be evaluated by it."""
    end = time.monotonic() + seconds
    while not asked(page, f"!!lab && !!({expression})"):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(40)
