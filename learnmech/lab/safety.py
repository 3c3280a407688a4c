"""Safety: who may speak to a lab, and how much at once."""

import hmac
import ipaddress
import re
import secrets
import socket
import time
from typing import NamedTuple
from urllib.parse import urlsplit

TOKEN_BYTES = 16
NAMED = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
MESSAGE_BYTES = 64 * 1024
MESSAGES_A_SECOND = 200
BUFFERED = 16 * 2**20
"""Bytes that wait for one browser at most, before what it has not taken is merged or dropped."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    " blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


class Limits(NamedTuple):
    """Bounds on what one browser may send: bytes of a message, messages a second."""

    bytes: int = MESSAGE_BYTES
    rate: int = MESSAGES_A_SECOND


def new_token() -> str:
    """128 random bits, as they stand in a link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def same_token(one: str, other: str) -> bool:
    """Whether two tokens are equal, in a time that does not tell where they part."""
    return hmac.compare_digest(one.encode(), other.encode())


def split_host(said: str) -> tuple[str, str]:
    """(name, port) of a Host header; names in lower case, the port "" where none is said."""
    if not NAMED.fullmatch(said):
        return "", ""
    try:
        found = urlsplit(f"//{said}")
        port = found.port
        return (found.hostname or "").lower(), "" if port is None else str(port)
    except ValueError:
        return "", ""


def own_names(host: str) -> set[str]:
    """The names under which a lab that listens at a host may be asked for."""
    names = {"127.0.0.1", "localhost", "::1"}
    if host not in LOOPBACK:
        names |= {host.strip("[]").lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return names


class Door:
    """Lets in who names this machine, comes from the lab's own page, and has the token.

    A page of somebody else's whose name is made to lead here (DNS rebinding) sends its own name as
    Host; one that opens a socket to this address sends its own Origin. Where the lab listens beyond
    this machine, an address in numbers is taken for its own: no name leads there.
    """

    def __init__(self, token: str, host: str, port: int):
        self.token, self.port = token, port
        self.names, self.open = own_names(host), host not in LOOPBACK

    def host_fits(self, said: str | None) -> bool:
        """Whether a Host header names this lab."""
        name, port = split_host(said or "")
        if port != str(self.port) and not (port == "" and self.port == 80):
            return False
        return name in self.names or (self.open and _is_address(name))

    def origin_fits(self, origin: str | None, host: str | None) -> bool:
        """Whether an Origin header, where there is one, is that of the lab's own page."""
        if origin is None:
            return True
        return origin.lower() in (
            f"http://{(host or '').lower()}",
            f"https://{(host or '').lower()}",
        )

    def token_fits(self, said: str | None) -> bool:
        """Whether the token is said."""
        return said is not None and same_token(said, self.token)

    def why_not(self, host: str | None, origin: str | None, token: str | None) -> str:
        """Why somebody is not let in; empty where he is."""
        if not self.host_fits(host):
            return (
                "The lab is asked for by another name than its own. Use the link that it printed."
            )
        if not self.origin_fits(origin, host):
            return "Another page asks for the lab. Use the link that it printed."
        if not self.token_fits(token):
            return "The token of the link is missing or another one. Use the link that it printed."
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Bucket:
    """Counts messages, and says when they are too many a second."""

    def __init__(self, rate: int, clock=time.monotonic):
        self.rate, self.clock = rate, clock
        self.left, self.since = float(rate), clock()

    def takes(self) -> bool:
        """Whether one more is taken now."""
        now = self.clock()
        self.left = min(self.rate, self.left + (now - self.since) * self.rate)
        self.since = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def headers(host: str) -> dict[str, str]:
    """What every answer of the lab says beside its content; some browsers do not count a socket of
    the page's own `host`, which was found to be the lab's, to what is its own."""
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self' ws://{host}")
    return HEADERS | {"content-security-policy": policy}
