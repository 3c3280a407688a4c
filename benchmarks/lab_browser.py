"""The lab in a headless browser: pictures a second, from a dial to the plot, a long run opened and
scrubbed, and what the page weighs. The server is a process of its own, as `learnmech lab` is."""

import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.base import Benchmark, Goal
from benchmarks.foreign import NoPeer
from learnmech import screen

# digits, as long as it takes to look; the long run is that of 100,000 marks
DIGITS = """
watch = ["loss", "test-loss", "mode-strengths", "singular-values", "end-to-end", "norms"]
theories = ["decoupled"]
architecture = {{ kind = "deep-linear", hidden = [32] }}
data = {{ kind = "digits", train = 1437, components = 30, whitened = true }}
rule = {{ kind = "gradient-descent", rate = 0.02 }}
clock = {{ steps = {steps}, every = {every} }}
initial = {{ kind = "aligned", strength = 1e-4 }}
"""
LONG = """
watch = ["loss"]
theories = []
architecture = { kind = "deep-linear", hidden = [4] }
data = { kind = "gaussian", n = 20, d = 4, k = 2 }
rule = { kind = "gradient-descent", rate = 0.01 }
clock = { steps = 99999, every = 1 }
initial = { kind = "gaussian" }
"""
SIX = ("loss", "test_loss", "mode_strength", "singular_value", "weight_norm")

# Each waits for animation frames, so that what is timed ends with what a person sees.
TURN = """async (value) => {
  const lab = document.querySelector('.learnmech').lab, { store } = lab;
  const field = lab.root.querySelector('input[type=number][data-path="rule.rate"]');
  const before = store.selected, began = performance.now();
  field.value = value;
  field.dispatchEvent(new Event('change'));
  const drawn = () => store.selected !== before && store.branch.series.get('loss')?.count > 0;
  while (!drawn() && performance.now() - began < 20000) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return (performance.now() - began) / 1000;
}"""
FRAMES = """async (seconds) => {
  const lab = document.querySelector('.learnmech').lab;
  const before = lab.frames, began = performance.now();
  await new Promise((done) => setTimeout(done, 1000 * seconds));
  return (performance.now() - began) / 1000 / Math.max(1, lab.frames - before);
}"""
SCRUB = """async (share) => {
  const { store } = document.querySelector('.learnmech').lab, began = performance.now();
  store.seek(share * store.branch.head);
  const late = () => performance.now() - began > 5000;
  while (store.seeking && !late()) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return (performance.now() - began) / 1000;
}"""


class Look:
    """A lab in a process of its own, and a browser that looks at it."""

    def __init__(self):
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise NoPeer("needs Playwright: pip install playwright") from None
        names = ("chromium", "chromium-browser", "google-chrome")
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            raise NoPeer("needs Chromium on the path")
        self.home = Path(tempfile.mkdtemp(prefix="learnmech-lab-"))
        command = [sys.executable, "-m", "learnmech", "lab", "--no-browser", "--out", self.home]
        self.server = subprocess.Popen(
            [*map(str, command)], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
        )
        for line in self.server.stdout:
            found = re.search(r"http://\S+", line)
            if found:
                break
        self.link = found[0]
        self.driver = sync_playwright().start()
        self.browser = self.driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        self.page = self.browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.set_default_timeout(120_000)
        self.page.goto(self.link)
        self.until("!store.greeting")

    def asked(self, expression):
        """What an expression gives in the page."""
        return self.page.evaluate(
            "(() => { const lab = document.querySelector('.learnmech')?.lab, store = lab?.store;"
            f" return {expression} }})()"
        )

    def until(self, expression, seconds=120):
        """Wait until it holds."""
        end = time.monotonic() + seconds
        while not self.asked(f"!!lab && !!({expression})"):
            if time.monotonic() > end:
                raise RuntimeError(f"never: {expression}")
            time.sleep(0.02)

    def open(self, text):
        """An experiment by its text, the panels that are given alone."""
        self.page.evaluate(
            "(text) => document.querySelector('.learnmech').lab.store.send('open',"
            " { text, changes: {}, small: false })",
            text,
        )
        self.until("lab.panels.panels.length")

    def panels(self, quantities, address=None):
        """These panels and no others."""
        self.asked("[...lab.panels.panels].forEach((p) => lab.panels.close(p))")
        for one in quantities:
            self.asked(f"void lab.panels.open('curves', {{quantity: '{one}'}})")
        if address:
            self.asked(f"void lab.panels.open('weights', {{address: '{address}'}})")

    def end(self):
        """Close both."""
        with contextlib.suppress(Exception):
            self.browser.close()
            self.driver.stop()
        self.server.terminate()
        self.server.wait(30)
        shutil.rmtree(self.home, ignore_errors=True)


def benchmarks() -> list[Benchmark]:
    """`lab-frames`: seconds a picture, six panels and four panels with theory's lines, while it
    runs; `lab-dial-plot`: from the dial to the first drawn numbers of the branch; `lab-reopen`: a
    page over a run of 100,000 marks, from its address to the drawn curve; `lab-drag`: a place of
    it, from the seek to what is drawn; `lab-weight`: page and module, in MB."""
    look = Look()
    look.open(DIGITS.format(steps=40_000, every=20))
    look.panels(SIX, "layer1.weight")
    # as fast as pictures are asked for: at full speed it would be over before it is looked at
    look.asked("void store.ask('speed', { branch: store.selected, marks_per_second: 60 })")
    look.asked("void store.ask('play', { branch: store.selected })")
    look.until("store.branch.reached > 20")
    lines = look.asked(
        "lab.panels.panels.flatMap((p) => p.view.plot?.curves ?? []).filter((c) => c.theory).length"
    )

    def frames():
        return look.page.evaluate(FRAMES, 3)

    rates = iter(0.01 + 0.0001 * i for i in range(1000))

    def dial():
        return look.page.evaluate(TURN, next(rates))

    def weighed(_):  # the last: nothing is looked at any more
        look.end()
        return (
            sum(
                len(one.encode())
                for one in (screen.source("screen"), *(f.read_text() for f in PAGE.iterdir()))
            )
            / 1e6
        )

    state = {"long": False}

    def long():
        if not state["long"]:
            look.open(LONG)
            look.asked("void store.ask('play', { branch: store.selected })")
            look.until("store.branch.status === 'finished'", 300)
            state["long"] = True

    def reopened(_):
        long()
        began = time.perf_counter()
        look.page.goto(look.link)
        look.until("store.branch?.series.get('loss')?.count > 1000 && lab.frames > 0")
        return time.perf_counter() - began

    shares = iter((0.37 * i) % 1 for i in range(1, 100_000))

    def dragged(_):
        long()
        return look.page.evaluate(SCRUB, next(shares))

    turned = []

    def dial_timed(_):
        turned.append(dial())
        return turned[-1]

    def tail(*_):
        ordered = sorted(turned)
        return f"p95 {ordered[int(0.95 * (len(ordered) - 1))]:.3f} s" if ordered else ""

    def nothing():
        return None

    def said(*_):
        return f"6 panels, {lines} lines of theory"

    return [
        Benchmark(
            "lab-frames", Goal("seconds", 1 / 28), nothing, timed=lambda _: frames(), says=said
        ),
        Benchmark("lab-dial-plot", Goal("seconds", 0.07), nothing, None, 1.0, 21, tail, dial_timed),
        Benchmark("lab-reopen", Goal("seconds", 1.0), nothing, timed=reopened),
        Benchmark("lab-drag", Goal("seconds", 0.05), nothing, repetitions=41, timed=dragged),
        Benchmark("lab-weight", Goal("MB", 0.6), nothing, repetitions=1, timed=weighed),
    ]


PAGE = Path(screen.__file__).parents[1] / "lab" / "page"


if __name__ == "__main__":  # a look at the numbers without the table
    for one in benchmarks():
        found = [one.timed(one.ours) if one.timed else one.ours() for _ in range(one.repetitions)]
        values = [value for value in found if value is not None]
        if values:
            print(one.name, f"median {statistics.median(values):.4f}", f"max {max(values):.4f}")
            print("   ", one.goal, one.says(None, None))
