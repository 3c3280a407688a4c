"""Effects over designs of two levels: contrasts, their level and coverage, fractions with aliases,
and what rests on the others."""

import itertools

import numpy as np
import pytest
from scipy import stats

from learnmech.errors import Refused
from learnmech.studies.ladders.designs import Design, crossed
from learnmech.studies.ladders.effects import aliases, contrasts, half_width, holm, pairs, per_seed

NAMES = "abcdefghij"


def off(count):
    return np.array(list(itertools.product((0, 1), repeat=count)))


def design(values, count=3, seeds=3):
    cells = crossed(NAMES[:count])
    return Design(tuple(NAMES[:count]), tuple(range(seeds)), tuple(cells), {"loss": values(cells)})


# --- contrasts


def test_a_contrast_is_the_mean_difference_and_a_pairs_half_the_difference_of_differences():
    rng = np.random.default_rng(0)
    cells, y = off(3), rng.standard_normal((8, 2))
    found = per_seed(cells, y)
    for place, axes in enumerate(pairs(3)):
        if len(axes) == 1:
            (a,) = axes
            want = y[cells[:, a] == 1].mean(0) - y[cells[:, a] == 0].mean(0)
        else:
            a, b = axes
            cost = [
                y[(cells[:, a] == 1) & (cells[:, b] == s)].mean(0)
                - y[(cells[:, a] == 0) & (cells[:, b] == s)].mean(0)
                for s in (0, 1)
            ]
            want = (cost[1] - cost[0]) / 2
        np.testing.assert_allclose(found[place], want, atol=1e-14)


def test_moderated_errors_are_between_their_own_and_the_familys_and_t_has_its_degrees_of_freedom():
    rng = np.random.default_rng(1)
    seeds = rng.standard_normal((6, 4)) * np.array([1, 1, 1, 1, 1, 5.0])[:, None]
    own = seeds.var(1, ddof=1) / 4
    found = contrasts(seeds)
    for one, v in zip(found, own):
        assert one.error**2 == pytest.approx((4 * np.median(own) + 3 * v) / 7)
    raw = [2 * stats.t.sf(abs(one.size) / one.error, 7) for one in found]
    np.testing.assert_allclose([one.p for one in found], holm(np.array(raw)), rtol=1e-12)


def test_holm_is_what_it_is_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])


@pytest.mark.parametrize("noise", ["normal", "heavy", "of one cell"])
def test_of_two_hundred_families_without_effects_at_most_five_per_cent_have_a_star(noise):
    """The mean of 1,000 families of ten effects, three seeds each, is known to 0.7%."""
    rng = np.random.default_rng(2)
    false, cells = 0, off(4)
    for _ in range(1000):
        y = {
            "normal": lambda: rng.standard_normal((16, 3)),
            "heavy": lambda: rng.standard_t(5, (16, 3)),
            "of one cell": lambda: (
                rng.standard_normal((16, 3)) * np.where(np.arange(16), 1, 3.0)[:, None]
            ),
        }[noise]()
        # seeds are common to the cells, and paired by them
        y = y + 2 * rng.standard_normal((1, 3))
        false += any(one.p < 0.05 for one in contrasts(per_seed(cells, y)))
    assert false / 1000 <= 0.05 + 2 * 0.007


def test_intervals_cover_what_is_there_in_ninety_to_ninety_nine_per_cent():
    rng = np.random.default_rng(3)
    cells, covered, true = off(3), [], np.array([0.5, -1.0, 0.0, 0.3, 0.0, 0.0])
    signs = 2.0 * cells - 1
    columns = np.stack([signs[:, list(one)].prod(1) for one in pairs(3)], 1)
    for _ in range(400):
        y = columns @ (true / 2)[:, None] + rng.standard_normal((8, 3))
        for one, there in zip(contrasts(per_seed(cells, y)), true):
            covered.append(abs(one.size - there) <= half_width(one, 3))
    assert 0.90 <= np.mean(covered) <= 0.99


def test_two_seeds_have_errors_and_no_stars_and_one_has_neither():
    rng = np.random.default_rng(4)
    two = contrasts(per_seed(off(2), rng.standard_normal((4, 2))))
    assert all(np.isnan(one.p) and one.error > 0 for one in two)
    one = contrasts(per_seed(off(2), rng.standard_normal((4, 1))))
    assert all(np.isnan(each.error) for each in one)


# --- designs


@pytest.mark.parametrize("count, words", [(2, 4), (6, 64), (7, 64), (8, 64), (9, 64), (10, 64)])
def test_a_design_begins_with_the_full_experiment_and_tells_its_axes_apart(count, words):
    cells = crossed(NAMES[:count])
    assert cells[0] == () and len(cells) == len(set(cells)) == words
    made = Design(tuple(NAMES[:count]), (0,), tuple(cells), {})
    same = aliases(made.off)
    effects = pairs(count)
    for one, others in zip(effects, same):
        # resolution IV or better: no axis is the alias of an axis or a pair; V: no pair either
        assert len(one) == 2 or not others
        assert count > 8 or not others
    assert any(same) == (count > 8)


def test_too_many_axes_are_refused():
    with pytest.raises(Refused, match="at most 10 axes"):
        crossed("abcdefghijk")


def test_an_alias_cannot_be_told_and_is_named():
    """Of nine axes in 64 runs: a pair that is there shows in all its aliases alike."""
    cells = crossed(NAMES[:9])
    made = Design(tuple(NAMES[:9]), (0, 1, 2), tuple(cells), {})
    place = next(i for i, others in enumerate(aliases(made.off)) if others)
    a, b = pairs(9)[place]
    y = np.array([float(NAMES[a] in c) * float(NAMES[b] in c) for c in cells])[:, None] + 1
    noise = 0.01 * np.random.default_rng(5).standard_normal((64, 3))
    found = Design(made.axes, made.seeds, made.cells, {"loss": y + noise}).effects("loss")
    one = found[place]
    assert one.real and one.aliases and one.size.size == pytest.approx(0.5, abs=0.01)
    for other in one.aliases:
        (twin,) = (each for each in found if each.axes == other)
        assert abs(twin.size.size) == pytest.approx(abs(one.size.size), rel=1e-9)


def test_an_interaction_that_is_one_in_the_raw_scale_alone_is_not_called_one():
    """Two axes that each divide the loss by ten: their logarithms add, the losses do not."""
    rng = np.random.default_rng(6)

    def values(cells):
        y = np.array([10.0 ** -("a" in c) * 10.0 ** -("b" in c) for c in cells])
        return y[:, None] * np.exp(0.01 * rng.standard_normal((len(cells), 3)))

    (pair,) = (one for one in design(values).effects("loss") if one.axes == ("a", "b"))
    assert pair.size.p < 0.05 and pair.verdict == "not in ln"


def test_an_axis_that_helps_alone_and_harms_behind_the_others_depends_on_them():
    rng = np.random.default_rng(7)

    def values(cells):
        y = [1 - ("a" in c) * (1 if "b" not in c else -1) for c in cells]
        return np.array(y)[:, None] + 0.01 * rng.standard_normal((len(cells), 3))

    first = design(values).effects("loss")[0]
    assert first.axes == ("a",) and first.verdict == "depends on the others"
    assert first.alone.size == pytest.approx(-1, abs=0.05)
    assert first.last.size == pytest.approx(1, abs=0.05)


def test_a_star_that_rests_on_one_cell_names_it():
    rng = np.random.default_rng(8)

    def values(cells):
        y = np.array([10.0 * (c == ("a", "b", "c", "d")) for c in cells])
        return y[:, None] + 0.1 * rng.standard_normal((len(cells), 3))

    effects = design(values, count=4).effects("loss")
    for one in effects:
        assert one.size.p < 0.05 and one.cells == (("a", "b", "c", "d"),)


def test_effects_that_touch_a_cell_that_diverged_have_no_value_and_the_cell_is_named():
    def values(cells):
        y = np.ones((len(cells), 3)) + np.arange(3)
        y[cells.index(("a", "b")), 1] = np.nan
        return y

    made = design(values)
    assert made.diverged("loss") == (("a", "b"),)
    effects = made.effects("loss")
    assert all(np.isnan(one.size.size) and one.verdict == "a cell diverged" for one in effects)
    assert effects[0].alone.size == 0  # of two cells that are there
    assert "diverged: a + b" in str(made)
