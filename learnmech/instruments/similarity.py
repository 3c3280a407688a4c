"""Similarity: how alike what two layers make of the inputs is, and how much of it depends on each
other."""

import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Instrument, refuse_without_modes
from learnmech.instruments.laziness import feature_axis, features
from learnmech.kernels.alignment import cka_among, hsic_among
from learnmech.language import trees
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


def ending(instrument) -> str:
    """What the names of readings by the estimate without bias end in."""
    return "_debiased" if instrument.debiased else ""


def enough(instrument, samples: int) -> None:
    """Refuse fewer samples than an estimate needs."""
    least = 4 if instrument.debiased else 2
    if samples < least:
        remedy = "Draw more samples" + (", or set debiased to false" if instrument.debiased else "")
        raise refused(type(instrument).__name__, f"at least {least} samples", samples, remedy)


class LayerSimilarity(Instrument):
    """Centered kernel alignment (CKA) of the features of layers, with each other, the start and the
    targets.

    The kernel of layer l is h_l h_l' (n, n) of its features h_l on the first `samples` training
    inputs (0: all): `layerK.post`, or `layerK.pre` where it has no other signal. `layer_cka`
    (layer, layer') is the linear CKA of two layers, `layer_cka_start` (layer) that with the
    start's, `layer_cka_targets` (layer) that with YY'. `with_hsic` adds the criterion itself,
    `layer_hsic` (layer, layer'), and `layer_hsic_targets` (layer). `debiased` takes HSIC_1 in place
    of HSIC_0 and adds `_debiased` to the names: the other nears 1 for any two wide layers on few
    samples. Source: Gretton et al. 2005; Song et al. 2012; Kornblith et al. 2019.
    """

    samples: int = structure(
        default=0, at_least=0, meaning="how many of the training inputs it looks at, 0: all"
    )
    debiased: bool = structure(
        default=False,
        meaning=(
            "whether the estimate without bias is taken, which is about 0 for what is independent"
        ),
    )
    with_hsic: bool = structure(
        default=False, meaning="whether the criterion that CKA is a ratio of is read too"
    )

    def check(self, system):
        refuse_without_modes("LayerSimilarity", system)
        most = system.train.X.shape[0]
        if self.samples > most:
            raise refused(
                "LayerSimilarity",
                f"samples <= {most}, those there are",
                self.samples,
                "Lower samples, or set it to 0 for all",
            )
        enough(self, self.samples or most)

    def quantities(self, system, params):
        axis, ((_, layers),) = feature_axis(
            tuple(trees.shapes_of(features, system, params)), params
        )
        one, two, end = ((axis, layers),), ((axis, layers), (f"{axis}'", layers)), ending(self)
        found = [
            Quantity(
                f"layer_cka{end}",
                (axis, f"{axis}'"),
                "1",
                "CKA(h_l, h_m)",
                "alignment of the features of two layers",
                two,
            ),
            Quantity(
                f"layer_cka_start{end}",
                (axis,),
                "1",
                "CKA(h_l, h_l(0))",
                "alignment of each layer's features with the start's",
                one,
            ),
            Quantity(
                f"layer_cka_targets{end}",
                (axis,),
                "1",
                "CKA(h_l, Y)",
                "alignment of each layer's features with the targets",
                one,
            ),
        ]
        if self.with_hsic:
            found += [
                Quantity(
                    f"layer_hsic{end}",
                    (axis, f"{axis}'"),
                    "1",
                    "HSIC(h_l, h_m)",
                    "dependence of the features of two layers",
                    two,
                ),
                Quantity(
                    f"layer_hsic_targets{end}",
                    (axis,),
                    "output^2",
                    "HSIC(h_l, Y)",
                    "dependence of each layer's features and the targets",
                    one,
                ),
            ]
        return tuple(found)

    def read(self, moment):
        system, some, end = moment.system, slice(0, self.samples or None), ending(self)
        rows = [system.train.Y]
        for params in (moment.state.params, moment.origin):
            rows += [h.reshape(h.shape[0], -1) for h in features(system, params).values()]
        powers = jnp.stack([trees.power(h[some]) for h in rows])
        # only now are samples left out: of a network that mixes them, features are those among all
        dependence = hsic_among(
            jnp.stack(
                [
                    leveled @ leveled.T
                    for leveled in (h[some] * by for h, by in zip(rows, powers, strict=True))
                ]
            ),
            self.debiased,
        )
        alignment, count = cka_among(dependence), (len(rows) - 1) // 2
        own = slice(1, 1 + count)
        seen = {
            f"layer_cka{end}": alignment[own, own],
            f"layer_cka_start{end}": jnp.diagonal(alignment[own, 1 + count :]),
            f"layer_cka_targets{end}": alignment[own, 0],
        }
        if self.with_hsic:
            dependence = dependence / powers[:, None] / powers / powers[:, None] / powers
            seen |= {
                f"layer_hsic{end}": dependence[own, own],
                f"layer_hsic_targets{end}": dependence[own, 0],
            }
        return seen
