"""The learning curve of a kernel on proteins: the fitness of GB1 from four of its sites; on a table
of patients where the file is not there."""

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

from learnmech.comparison.learning_curves import learning_curve
from learnmech.data.digits import Digits
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import SHARES, SPLITS, claimed_checks, relu_network
from learnmech.instruments.losses import Loss
from learnmech.kernels.infinite import kernel

# The landscape of Wu et al. 2016 as FLIP has it: a .csv, or a .zip that holds one, with columns
# Variants and Fitness; named by this variable.
WHERE = "LEARNMECH_GB1"
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def _experiment():
    return relu_network(Digits(train=1200))


def _variants(path: Path):
    """(four letters, fitness) of every variant."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as whole:
            name = next(one for one in whole.namelist() if Path(one).suffix == ".csv")
            text = whole.read(name).decode("utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(text)):
        yield row["Variants"], float(row["Fitness"])


def _of_proteins(path: Path, size: int):
    """Four sites one-hot, centered, of this mean square; fitness of variance 1."""
    rows = list(_variants(path))
    chosen = np.random.default_rng(0).permutation(len(rows))[:size]
    eye = np.eye(len(LETTERS))
    X = np.stack([eye[[LETTERS.index(one) for one in rows[i][0]]].ravel() for i in chosen])
    return X - X.mean(0), np.array([[rows[i][1]] for i in chosen])


def _verify(shown):
    path = Path(os.environ.get(WHERE, ""))
    if path.is_file():
        (X, Y), ridge, where = _of_proteins(path, shown.experiment.data.train), 0.0, "GB1, no ridge"
    else:
        X, Y = load_diabetes(return_X_y=True)
        X, Y = (X - X.mean(0)) / X.std(0), Y[:, None]
        ridge, where = 1.0, "diabetes, for want of GB1, ridge 1"
    X, Y = X / np.sqrt((X**2).mean()), (Y - Y.mean(0)) / Y.std(0)
    K = np.asarray(kernel(shown.experiment.architecture, X, get="ntk"))
    sizes = [int(share * len(X)) for share in SHARES]
    curve = learning_curve(K, Y, n=sizes, ridge=ridge, splits=SPLITS)
    return claimed_checks(where, curve), {"curve": curve, "where": where}


def _draw(shown):
    from learnmech.figures.learning_curve import draw

    curve = shown.extra["curve"]
    return draw(curve, f"NTK on {shown.extra['where']}: {curve.verdict}")


exhibit = Exhibit(
    claim=(
        "How well a protein's fitness is told from so many measured variants is known from the"
        " spectrum of a kernel among them"
    ),
    source="finite pool, derived here; data of Wu et al. 2016",
    experiment=_experiment,
    watch=(Loss(),),
    twin={"data.train": 600},
    verify=_verify,
    draw=_draw,
)
