"""The learning curve of a kernel on Fashion-MNIST; on digits where it is not there."""

import dataclasses
from pathlib import Path

from learnmech.data.digits import Digits
from learnmech.data.file import File
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import claimed_checks, pool_curve, relu_network
from learnmech.instruments.losses import Loss, TestLoss

# Where Debian's package dataset-fashion-mnist puts it.
FASHION = Path("/usr/share/datasets/fashion-mnist")
# Without one the certificate of 1,500 was 1.05 or 1.11, by the draw.
RIDGE = 0.1


def _experiment():
    return relu_network(Digits(train=1500))


def clothes(train: int) -> File:
    """So many of the smaller file of Fashion-MNIST."""
    return File(
        path=str(FASHION / "t10k-images-idx3-ubyte.gz"),
        targets_path=str(FASHION / "t10k-labels-idx1-ubyte.gz"),
        classes=True,
        train=train,
        test=100,
        divide_by=255.0,
        center=True,
    )


def _verify(shown):
    experiment = shown.experiment
    if not FASHION.is_dir():  # what is claimed of digits, at a ridge
        curve = pool_curve(experiment, (1.0,))
        return claimed_checks("digits, for want of Fashion-MNIST", curve), {"curve": curve}
    curve = pool_curve(
        dataclasses.replace(experiment, data=clothes(experiment.data.train)), (RIDGE,)
    )
    return claimed_checks(f"Fashion-MNIST, ridge {RIDGE:g}", curve), {"curve": curve}


def _draw(shown):
    return shown.extra["curve"].figure()


exhibit = Exhibit(
    claim=(
        "On Fashion-MNIST the error of a kernel is known for every number of samples before any is"
        " trained on, to a few percent"
    ),
    source="finite pool, derived here; after Canatar et al. 2021",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 500},
    verify=_verify,
    draw=_draw,
)
