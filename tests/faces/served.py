"""A lab that is served in this process, and what asks it as a browser does."""

import contextlib
import http.client
import json
import socket
import threading
import time

import uvicorn
from websockets.sync.client import connect

from learnmech.lab.frames import unpacked
from learnmech.lab.safety import Door, Limits, new_token
from learnmech.lab.server import application
from learnmech.lab.session import Session


class Served:
    """A lab at a free port of this machine."""

    def __init__(self, folder, limits: Limits | None = None):
        self.session = Session(folder)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.door = Door(new_token(), "127.0.0.1", self.port)
        settings = uvicorn.Config(
            application(self.session, self.door, limits), log_level="critical", ws_max_size=2**18
        )
        self.server = uvicorn.Server(settings)
        self.thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)
        self.thread.start()
        end = time.monotonic() + 20
        while not self.server.started and time.monotonic() < end:
            time.sleep(0.01)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def get(self, path, **headers):
        """(status, headers, body) of a page."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        asked.request("GET", path, headers={"Host": self.host} | headers)
        with contextlib.closing(asked):
            answer = asked.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def socket(self, token=None, name=None, **headers):
        """A socket, as the page opens it; by another name of this machine, as a rebound one."""
        token = self.door.token if token is None else token
        return connect(
            f"ws://{name or self.host}/socket?token={token}",
            sock=socket.create_connection(("127.0.0.1", self.port)),
            additional_headers={"Origin": f"http://{self.host}"} | headers,
            max_size=None,
        )

    def end(self):
        self.server.should_exit = True
        self.thread.join(20)
        self.session.end()


def said(ws, fits=lambda message: True, seconds=60):
    """The next message that fits, with its buffers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = ws.recv(timeout=seconds)
        message = (json.loads(frame), []) if isinstance(frame, str) else unpacked(frame)
        if fits(message[0]):
            return message
    raise AssertionError("not said")


def ask(ws, do, **fields):
    """The answer to a command."""
    number = time.monotonic_ns() % 2**50
    ws.send(json.dumps({"do": do, "id": number, **fields}))
    return said(ws, lambda message: message.get("id") == number)
