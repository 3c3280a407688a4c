"""Sheets: figures that show themselves in a notebook, whatever the backend."""

import io

from matplotlib import rc_context
from matplotlib.figure import Figure

from learnmech.figures.style import RC


class Sheet(Figure):
    """A figure that is no window's: Jupyter shows it as a picture, without pyplot and without
    `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        with rc_context(RC):
            self.savefig(out, format="png", dpi=110)
        return out.getvalue()
