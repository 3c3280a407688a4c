"""A real browser, and a lab that it looks at, in one process so that what is seen can be held
against what is there."""

import asyncio
import contextlib
import os
import shutil
import socket
import threading
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
        page.set_default_timeout(10_000)
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


class Served:
    """A lab and where it listens."""

    def __init__(self, session, door, port):
        self.session, self.door, self.port = session, door, port

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/?token={self.door.token}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab on this machine, its server in a thread."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra lab")
    pytest.importorskip("starlette", reason="needs the extra lab")
    from learnmech.lab.safety import Door, new_token
    from learnmech.lab.server import application
    from learnmech.lab.session import Session

    session = Session(tmp_path_factory.mktemp("runs"))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    door = Door(new_token(), "127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(application(session, door), log_level="error"))

    def serve():
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Served(session, door, port)
    server.should_exit = True
    session.end()
    thread.join(10)
    listening.close()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core: named by LEARNMECH_AXE, or where `npm ci` in screen/ puts it."""
    given = os.environ.get("LEARNMECH_AXE")
    file = Path(given) if given else ROOT / "screen" / "node_modules" / "axe-core" / "axe.min.js"
    if not file.is_file():
        pytest.skip("needs axe-core: npm ci in screen/, or LEARNMECH_AXE=axe.min.js")
    return file.read_text(encoding="utf-8")
