"""The server: the lab's page and one WebSocket, for browsers on this machine."""

import asyncio
import contextlib
import json
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnmech.errors import refused
from learnmech.lab.clients import Client
from learnmech.lab.frames import packed, text_of
from learnmech.lab.safety import HEADERS, Bucket, Door, Limits, headers, new_token
from learnmech.lab.session import Session
from learnmech.machine.logs import LOG

if TYPE_CHECKING:
    from starlette.applications import Starlette

PAGE = Path(__file__).parent / "page"
PICTURE = 1 / 31
"""Seconds between two frames to one browser, at least: what came in between is merged."""
REMEDY = "Install it with pip install 'learnmech[lab]'"
CLOSE_POLICY, CLOSE_AGAIN = 1008, 1013
SLOWER = "Ask less often; they are taken one after another"


def needed() -> None:
    """Refuse where what serves pages is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise refused(
            "learnmech lab", "starlette, uvicorn and websockets", str(error), REMEDY
        ) from None


class Reader(Client):
    """A browser at the other end of a socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop, self.something = loop, asyncio.Event()
        self.asked = False
        super().__init__(self.nudge)

    def nudge(self) -> None:
        """There is something to send; from any thread."""
        if not self.asked:  # one nudge for all that comes until it is heard
            self.asked = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self.something.set)


def application(session: Session, door: Door, limits: Limits | None = None) -> "Starlette":
    """The lab as an ASGI application: `/`, what the page loads, and `/socket`."""
    needed()
    limits = limits or Limits()
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute

    files = files_of()

    def answer(request: Any) -> Response:
        name = request.path_params.get("name", "")
        said = request.headers
        if not door.host_fits(said.get("host")) or not door.origin_fits(
            said.get("origin"), said.get("host")
        ):
            return PlainTextResponse(
                door.why_not(said.get("host"), said.get("origin"), door.token), 403, HEADERS
            )
        if name == "" and not door.token_fits(request.query_params.get("token")):
            why = "The link's token is missing or another one. Use the link that the lab printed.\n"
            return PlainTextResponse(why, 403, HEADERS)
        if (name or "index.html") not in files:
            return PlainTextResponse("There is nothing of this name.\n", 404, HEADERS)
        file, kind = files[name or "index.html"]
        known = headers(said.get("host"))
        return Response(file.read_bytes(), 200, known | {"content-type": kind})

    async def socket(ws: Any) -> None:
        said = ws.headers
        token = ws.query_params.get("token")
        why = door.why_not(said.get("host"), said.get("origin"), token)
        if why:
            LOG.info("lab: a socket was refused: %s", why)
            await ws.close(CLOSE_POLICY)  # before it is accepted: the handshake fails with 403
            return
        await ws.accept()
        client = Reader(asyncio.get_running_loop())
        session.join(client)
        sender = asyncio.create_task(_send(ws, client, session))
        try:
            await _receive(ws, client, session, limits)
        finally:
            session.part(client)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sender

    return Starlette(
        routes=[
            Route("/", answer),
            WebSocketRoute("/socket", socket),
            Route("/{name}", answer),
        ]
    )


def files_of() -> dict[str, tuple[Path, str]]:
    """{name: (file, its type)} of all that the page may load; nothing else is served."""
    kinds = {
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }
    found = {}
    for folder in (Path(__file__).parents[1] / "screen" / "bundle", PAGE):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.suffix in kinds:
                found[file.name] = file, kinds[file.suffix]
    return found


async def _send(ws: Any, client: Reader, session: Session) -> None:
    """Send what waits at once, and what is new of curves at most 31 times a second. A socket that
    takes nothing makes this wait, and meanwhile nothing is queued for it but what is newest."""
    due, later = 0.0, False
    while not client.lost:
        await client.something.wait()
        client.something.clear()
        client.asked = False
        now = time.perf_counter()
        picture = now >= due
        for content, buffers in client.drain(session.branches, picture):
            if buffers:
                await ws.send_bytes(packed(content, buffers))
            else:
                await ws.send_text(text_of(content))
        if picture:
            due, later = (due if now - due < PICTURE else now) + PICTURE, False
        elif not later:
            later = True
            client.loop.call_later(due - now, client.something.set)
    await ws.close(CLOSE_AGAIN)


async def _receive(ws: Any, client: Reader, session: Session, limits: Limits) -> None:
    """Take what the browser asks, within the limits; anything that is no command is answered by a
    sentence."""
    bucket, told = Bucket(limits.rate), 0.0
    while True:
        message = await ws.receive()
        if message["type"] != "websocket.receive":
            return
        written = message.get("text")
        await asyncio.sleep(0)  # what waits to be sent is not held up by what comes
        while not bucket.takes():  # it is read no faster, and waits where it comes from
            if time.perf_counter() - told > 1:
                told = time.perf_counter()
                client.say(_wrong(f"at most {limits.rate} messages a second", "more", SLOWER))
            await asyncio.sleep(1 / limits.rate)
        if written is None:
            client.say(_wrong("commands as JSON text", "bytes", "Send text"))
            continue
        if len(written) > limits.bytes or len(written.encode("utf-8", "replace")) > limits.bytes:
            said = f"{len(written)} characters"
            client.say(_wrong(f"messages of at most {limits.bytes} bytes", said, "Send less"))
            continue
        try:
            said = json.loads(written)
        except (ValueError, RecursionError):
            client.say(_wrong("JSON that parses", written[:80], "Mend the message"))
            continue
        session.hear(client, said)


def _wrong(needs: str, got: str, remedy: str) -> dict:
    return {"is": "error", "said": str(refused("The lab", needs, got, remedy)), "about": None}


def serve(
    session: Session,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    told: Any = print,
    suffix: str = "",
) -> None:
    """Serve until Ctrl-C; then what runs is stopped behind its block, and can be gone on with."""
    needed()
    import socket as sockets

    import uvicorn

    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.socket(family, sockets.SOCK_STREAM)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        listening.close()
        remedy = "Choose another by --port and --host, or none"
        raise refused(
            "learnmech lab", f"port {port} of {host} to listen at", error, remedy
        ) from None
    port = listening.getsockname()[1]
    door = Door(new_token(), host, port)
    shown = f"[{host}]" if family == sockets.AF_INET6 and not host.startswith("[") else host
    if host in ("0.0.0.0", "::"):
        shown = sockets.gethostname()
    link = f"http://{shown}:{port}/?token={door.token}{suffix}"
    settings = uvicorn.Config(
        application(session, door),
        log_level="warning",
        access_log=False,
        ws_max_size=256 * 1024,
        ws_ping_interval=30.0,
        ws_ping_timeout=120.0,
        timeout_graceful_shutdown=2,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(settings)
    told(f"The lab is open at {link}")
    told("Ctrl-C ends it; runs are kept, and can be gone on with.")
    if browser:
        with contextlib.suppress(Exception):
            webbrowser.open(link)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    finally:
        session.end()
        listening.close()
