"""The learning curve of a kernel on digits, said before anything is trained, and when it is not."""

from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.gallery.base import Exhibit
from learnmech.gallery.pool_checks import claimed_checks, pool_curve, relu_network
from learnmech.instruments.losses import Loss, TestLoss


def _experiment():
    return relu_network(Digits(train=1500))


def _verify(shown):
    curve = pool_curve(shown.experiment, (1.0, 0.0))
    warned = curve.certificates[1]
    last = float(curve.test[1, -1] / curve.predicted[1][-1].test)
    checks = (
        *claimed_checks("ridge 1", curve),
        Check(
            "no ridge: leave-one-out over GCV, which says that the error lies above",
            warned.ratio,
            1.105,
            0.0,
            "not claimed beyond |ln| = 0.1",
            "above",
        ),
        Check(
            "no ridge: and it does, measured over predicted at .8 N",
            last,
            1.1,
            0.0,
            "1.18 to 1.34 on data whose certificate was 1.37 to 1.52",
            "above",
        ),
        Check(
            "no ridge: by less than the certificate's ratio, which is the one at n = N",
            last,
            warned.ratio,
            0.0,
            "the formula's error grows from 0 towards it",
            "below",
        ),
    )
    return checks, {"curve": curve}


def _draw(shown):
    return shown.extra["curve"].figure()


exhibit = Exhibit(
    claim=(
        "The error of a kernel on digits is known for every number of samples from its spectrum"
        " alone, and the spectrum says where that fails"
    ),
    source="finite pool, derived here; after Simon et al. 2023",
    experiment=_experiment,
    watch=(Loss(), TestLoss()),
    twin={"data.train": 400},
    verify=_verify,
    draw=_draw,
)
