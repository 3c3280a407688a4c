"""The lab's server: who is let in, what is served, and that a run is seen by all who look on."""

import subprocess
import sys

import numpy as np
import pytest
from lookers import EXPERIMENT
from served import Served, ask, said
from websockets.exceptions import InvalidStatus

import learnmech as lm
from learnmech.cli.commands import understood
from learnmech.errors import Refused
from learnmech.lab import server
from learnmech.lab.safety import Bucket, Door, new_token


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("runs"))
    yield made
    made.end()


def test_the_page_is_given_to_who_has_the_link_alone(served):
    token = served.door.token
    status, headers, body = served.get(f"/?token={token}")
    assert status == 200 and b"page.js" in body
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"  # the token is no part of what others see
    assert token.encode() not in served.get("/page.js")[2]
    for path in ("/", "/?token=", f"/?token={token[:-1]}x", "/?token=%00"):
        assert served.get(path)[0] == 403
    for path in ("/../server.py", "/..%2f..%2fserver.py", "/socket", "/none.js", "/a/b"):
        assert served.get(path)[0] == 404
    # a name that is made to lead here, and another page
    for headers in ({"Host": f"evil.example:{served.port}"}, {"Origin": "http://evil.example"}):
        assert served.get(f"/?token={token}", **headers)[0] == 403
    assert served.get(f"/?token={token}", Host="127.0.0.1:1")[0] == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "x"},
        {"token": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"name": "evil.example"},
    ],
)
def test_a_socket_of_somebody_else_is_refused(served, wrong):
    with pytest.raises(InvalidStatus) as refused, served.socket(**wrong):
        pass
    assert refused.value.response.status_code == 403


def test_beyond_this_machine_names_are_refused_and_addresses_taken():
    token = new_token()
    assert len(token) >= 22  # 128 bits, 6 to a letter
    near, far = Door(token, "127.0.0.1", 8000), Door(token, "0.0.0.0", 8000)
    assert not near.host_fits("192.168.0.7:8000") and far.host_fits("192.168.0.7:8000")
    assert far.host_fits("[fe80::1]:8000") and not far.host_fits("evil.example:8000")
    assert near.host_fits("localhost:8000") and not near.host_fits("localhost:8001")
    for odd in (
        "",
        None,
        "me@127.0.0.1:8000",
        "127.0.0.1:8000; script-src *",
        "localhost:x",
        "[::1",
        "127.0.0.1:8000@evil.example",
        "a" * 9999,
    ):
        assert not near.host_fits(odd) and not far.host_fits(odd)
    assert far.why_not("192.168.0.7:8000", None, None)


def test_two_who_look_on_see_one_run_and_a_third_comes_later(served):
    with served.socket() as one, served.socket() as other:
        welcome, _ = ask(one, "hello")
        assert welcome["is"] == "welcome" and "digits-modes" in str(welcome["exhibits"])
        opened, _ = ask(one, "open", text=EXPERIMENT)
        name = opened["branch"]
        said(other, lambda m: m["is"] == "opened" and m["branch"] == name)
        for ws in (one, other):
            panel = {"panel": "p", "kind": "curves", "spec": {"quantity": "loss"}}
            assert ask(ws, "panel", branch=name, **panel)[0]["is"] == "status"
        ask(other, "play", branch=name)

        def curves(message):
            return message["is"] in ("block", "series") and message["branch"] == name

        loss = lm.run(lm.Experiment.parse(opened["text"]))["loss"].values
        for ws in (one, other):
            seen = np.full(len(loss), np.nan, np.float32)
            while np.isnan(seen[-1]):
                message, buffers = said(ws, curves)
                series = [message] if message["is"] == "series" else message["series"]
                for part in series:
                    values = np.frombuffer(buffers[part["values"]], "<f4")
                    seen[part["first"] : part["first"] + part["count"]] = values
            np.testing.assert_array_equal(seen, loss.astype(np.float32))
    with served.socket() as third:
        ask(third, "hello")
        again, _ = said(third, lambda m: m["is"] == "opened" and m["branch"] == name)
        assert again["reached"] == len(loss)


def test_a_page_that_is_closed_stops_nothing(served):
    with served.socket() as ws:
        opened, _ = ask(ws, "open", text=EXPERIMENT)
        ask(ws, "speed", marks_per_second=40)
        ask(ws, "play")
    branch = served.session.branches[opened["branch"]]
    branch._thread.join(30)
    assert branch.status == "finished" and branch.course.reached == 21


def test_too_many_messages_are_too_many():
    now = [0.0]
    bucket = Bucket(200, clock=lambda: now[0])
    assert sum(bucket.takes() for _ in range(1000)) == 200
    now[0] = 0.5
    assert sum(bucket.takes() for _ in range(1000)) == 100


def test_the_command_is_understood_and_says_what_is_missing(monkeypatch):
    asked = understood(["lab", "digits-modes", "rule.rate=0.1", "--port", "0", "--no-browser"])
    assert (asked.subject, asked.changes, asked.host) == (
        "digits-modes",
        ["rule.rate=0.1"],
        "127.0.0.1",
    )
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(Refused, match=r"pip install 'learnmech\[lab\]'"):
        server.needed()


def test_the_room_is_called_and_imports_nothing_heavy():
    code = (
        "import sys, learnmech as lm; assert callable(lm.lab);"
        "print([m for m in ('jax', 'starlette', 'anywidget', 'uvicorn') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
