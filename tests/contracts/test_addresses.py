"""Addresses: what is meant by a path, and what is answered to one that does not exist."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnmech.errors import Refused
from learnmech.language.addresses import Address

NAMES = [
    "layer1.weight",
    "layer1.bias",
    "layer10.weight",
    "layer2.post",
    "gradient.layer1.weight",
    "memory.mu.layer1.weight",
]
ARRAY = np.arange(24).reshape(4, 6)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("w[2,5]", ARRAY[2, 5]),
        ("w[:,0]", ARRAY[:, 0]),
        ("w[ 1:3 , ::2 ]", ARRAY[1:3, ::2]),
        ("w[in=5]", ARRAY[:, 5]),
        ("w[in=-1,out=0]", ARRAY[0, 5]),
        ("w[-4]", ARRAY[0]),
        ("w[::-1]", ARRAY[::-1]),
        ("w", ARRAY),
    ],
)
def test_an_index_means_what_it_means_in_numpy(written, meant):
    assert np.array_equal(
        ARRAY[Address.parse(written).selection(ARRAY.shape, ("layer1.out", "layer1.in"))], meant
    )


@given(st.lists(st.one_of(st.integers(-4, 3), st.slices(4)), min_size=1, max_size=2))
def test_every_numpy_index_can_be_written(index):
    written = ",".join(
        str(i)
        if isinstance(i, int)
        else ":".join("" if e is None else str(e) for e in (i.start, i.stop, i.step))
        for i in index
    )
    square = ARRAY[:, :4]
    meant = square[tuple(index)]
    address = Address.parse(f"w[{written}]")
    if meant.size:
        assert np.array_equal(square[address.selection((4, 4), ("out", "in"))], meant)
        assert Address.parse(str(address)) == address
    else:
        with pytest.raises(Refused):
            address.selection((4, 4), ("out", "in"))


def test_a_layer_means_every_array_below_it():
    assert Address.parse("layer1").among(NAMES) == ["layer1.weight", "layer1.bias"]
    assert Address.parse("layer10.weight[0]").among(NAMES) == ["layer10.weight"]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1layer",
        "[2]",
        "w[a]",
        "w[1.5]",
        "w[1,]",
        "w[]",
        "w[0][1]",
        "w[1:2:3:4]",
        "3",
        None,
        "w[x=]",
    ],
)
def test_what_is_no_address_is_refused(written):
    with pytest.raises(Refused, match=r"^An address needs .*, but got .*\. .*\.$"):
        Address.parse(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("layer1.wieght", "layer1.weight"),
        ("gradient.layer1.weigth", "gradient.layer1.weight"),
        ("layer2.pots", "layer2.post"),
        ("layer1[0]", "drop the index"),
    ],
)
def test_an_unknown_path_is_answered_with_the_nearest(written, said):
    with pytest.raises(Refused, match=re.escape(said)):
        Address.parse(written).among(NAMES)


@pytest.mark.parametrize(
    "written", ["w[4]", "w[-5]", "w[0,0,0]", "w[unit=1]", "w[0,out=1]", "w[::0]", "w[3:3]"]
)
def test_an_index_that_does_not_exist_is_refused(written):
    with pytest.raises(Refused, match=r"^The address .* needs .*, but got .*\. .*[.?]$"):
        Address.parse(written).selection(ARRAY.shape, ("out", "in"))
