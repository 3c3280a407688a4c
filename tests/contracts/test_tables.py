"""Tables and arrays of the wild: what is in them comes out, or it is said why not."""

import csv
import gzip
import io
import os
import random
import re
import zipfile

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, losses, rules
from learnmech.data.cards import card
from learnmech.errors import Refused
from learnmech.experiment.recipe import Experiment, prepare, stream_of


def drawn(source):
    """What a source draws from its own seed."""
    return source.draw(stream_of(source.seed, "data"))


@pytest.fixture
def file(tmp_path):
    """A File of what is written, as text or bytes."""

    def made(written, name="t.csv", **knobs):
        path = tmp_path / name
        path.write_bytes(written if isinstance(written, bytes) else written.encode())
        return data.File(path, **knobs)

    return made


READ = [
    ("a;b;y\n1;2;3\n4;5;6\n", {}, "semicolon"),
    ("1;2;3\n4;5;6\n", {}, "no header"),
    ("1 2 3\n4  5 6\n", {}, "space"),
    ("a\tb\ty\n1\t2\t3\n4\t5\t6", {}, "tab"),
    ("a|b|y\n1|2|3\n4|5|6\n", {}, r"separator: \|"),
    ("sep=;\na;b;y\n1;2;3\n4;5;6\n", {}, "semicolon"),
    ('"a","b","y"\r\n"1","2","3"\r\n"4","5","6"\r\n', {}, "header: a, b, y"),
    ("a,b,y\r1,2,3\r4,5,6\r", {}, "comma"),
    ("\ufeffa,b,y\n1,2,3\n4,5,6\n", {}, "header: a, b, y"),
    ("a;b;y\n1,0;2,0;3\n4;5,0;6\n", {}, "decimal comma"),
    ("a,b,y\n\n1, 2 ,3\n+4,.5e1,6.\n\n", {}, "2 rows"),
    ("# a b y\n1 2 3\n4 5 6\n", {}, "header: a, b, y"),
    ("0,1,2\n1,2,3\n4,5,6\n", {"header": True}, "header: 0, 1, 2"),
    ("0,1,2\n1,2,3\n4,5,6\n", {"targets": "2"}, "header: 0, 1, 2"),
    ('"a","b","y"\n"r1",1,2,3\n"r2",4,5,6\n', {"row_names": 0}, "2 inputs"),
    (",a,b,y\n0,1,2,3\n1,4,5,6\n", {"row_names": 0}, "2 inputs"),
    ("y,a,z,b\n3,1,?,2\n6,4,,5\n", {"targets": "y", "inputs": ["a", "b"]}, "1 target"),
    ("3,1,2\n6,4,5\n", {"targets": [0]}, "no header"),
    ("1,0 2,0 3\n4,0 5,0 6\n", {"decimal": ","}, "separator: space; decimal comma"),
]


@pytest.mark.parametrize("written, knobs, said", READ, ids=[repr(row[0]) for row in READ])
def test_a_table_is_read_by_what_is_in_it_and_says_how(file, written, knobs, said):
    sample = drawn(file(written, **knobs))
    assert np.array_equal(sample.train.X, [[1, 2], [4, 5]]) and np.array_equal(
        sample.train.Y, [[3], [6]]
    )
    source = file(written, **knobs)
    assert re.search(said, sample.said) and source.described().split("; 2 for")[0] in sample.said


@pytest.mark.parametrize("name", ["T.CSV", "t.tsv", "t.txt", "t", "t.npz"])
@pytest.mark.parametrize(
    "encoded",
    [str.encode, lambda text: text.encode("utf-16"), lambda text: gzip.compress(text.encode())],
    ids=["utf-8", "utf-16", "gz"],
)
def test_a_format_is_told_by_its_content(file, name, encoded):
    assert np.array_equal(
        drawn(file(encoded("ä,b,y\n1,2,3\n4,5,6\n"), name)).train.X, [[1, 2], [4, 5]]
    )


ASKED = [
    ("0,1,2\n0.5,0.25,3.5\n0.1,0.2,0.3\n", "whether its first row is a header"),
    ("2001,2002,2003\n5,6,7\n1,2,3\n", "whether its first row is a header"),
    ("1990,1995,2003\n5,6,7\n1,2,3\n", "whether its first row is a header"),
    ("id,2001,2002\n5,6,7\n1,2,3\n", "whether its first row is a header"),
    ("1,,3\n4,5,6\n", "a missing one in row 1, column 1"),
    ("NA,2,3\n4,5,6\n", "a missing one in row 1, column 0"),
    ("1,?,3\n4,5,6\n", "a missing one in row 1"),
    ("1.O,2,3\n4,5,6\n", "'1.O' in row 1, column 0"),
    ("a,b\n1,2\n3,1_0\n", "'1_0' in row 3, column 'b'"),
    ("a,b\n1,2\n3,0x10\n", "'0x10' in row 3"),
    ("a,b\n1,2\n3,１\n", "in row 3"),
    ("a,b\n1,2\n3,infinity\n", "'infinity' in row 3"),
    ("a,b\n1,2\n3,1e999\n", "'1e999' in row 3"),
    ("a,b\n1,2\n3,True\n", "'True' in row 3"),
    ('"x","y"\n"1",0.5,3.5\n"2",0.1,0.3\n', "row_names"),
    (",x,y\n0,1,2\n1,3,4\n", "row_names"),
    ("Unnamed: 0,x,y\n0,1,2\n1,3,4\n", "row_names"),
    ("1,0.5,2\n2,0.1,3\n3,0.2,4\n", "row_names"),
    ("a,a,y\n1,2,3\n", "different names"),
    ("1,234;2,500\n3,100;4,000\n", "decimal"),
    ("a;y\n1,5;2.5\n", "one decimal mark"),
    ("1 234,5 678\n2 345,6 789\n", "what separates its cells"),
    ("-126,3 2\n135,24 1\n-122,77 2\n", "what separates its cells"),
    ("1 234\t5 678\n2 345\t6 789\n", "what separates its cells"),
    ("a;b;y\n1;2;3\n4;5\n", "3 columns in every row"),
    ('a,y\n1,"2\n3,4\n', "quotes"),
    ("1:2:3\n4:5:6\n", "separator"),
    ("a,y\n1,2\x00\n", "no text"),
    ("<!DOCTYPE html><html>", "a web page"),
    ("#1,2\n3,4\n5,7\n", "comment"),
    ("a,y\n1,2\n,\n", "a missing one in row 3"),
    ("5,x,u\n6,y,v\n", "name it in classes"),
    ("1.5 2\n" + "1" * 200_000 + " 2\n", "finite numbers"),
    (b"\x80\x04pickled", "a pickle"),
    (b"PK\x03\x04 xl/workbook.xml", "an Excel workbook"),
    (b"\x93NUMPYjunk", "npy"),
    (b"\x00\x00\x08\x03\x00\x00", "IDX"),
    (gzip.compress(b"a,y\n1,2\n", mtime=0)[:-9], "gzip"),
    ("ü,y\n1,2\n".encode("latin-1"), "encoding"),
    ("a,y\n1,2\n".encode("utf-16")[2:], "utf-16"),
]


@pytest.mark.parametrize("written, message", ASKED, ids=[repr(row[0])[:40] for row in ASKED])
def test_what_cannot_be_told_is_asked_and_what_is_no_number_is_refused(file, written, message):
    with pytest.raises(Refused, match=message):
        drawn(file(written))


def test_a_very_long_cell_in_quotes_is_refused(file):
    with pytest.raises(Refused, match="field"):
        drawn(file('a,y\n"' + "1 " * 100_000 + '",2\n'))


def test_missing_rows_are_dropped_and_inputs_filled_in_with_training_means_where_asked(file):
    written = "a,b,y\n1,,3\n4,5,6\n7,8,9\n"
    dropped = drawn(file(written, missing="drop"))
    assert np.array_equal(dropped.train.X, [[4, 5], [7, 8]]) and "left out: 2" in dropped.said
    assert np.array_equal(drawn(file(written, missing="mean")).train.X, [[1, 6.5], [4, 5], [7, 8]])
    split = drawn(file("a,y\n1,1\n2,2\n,3\n9,4\n", missing="mean", test=2, seed=1))
    known = [x for x, y in ((1, 1), (2, 2), (9, 4)) if y in split.train.Y]
    filled = np.concatenate([split.train.X, split.test.X])[
        np.concatenate([split.train.Y, split.test.Y]) == 3
    ]
    assert filled == np.mean(known)
    with pytest.raises(Refused, match="a target in every row"):
        drawn(file("a,y\n1,2\n3,\n", missing="mean"))


def test_classes_by_name_or_whole_number_become_one_hot_targets(file):
    table = "a,species,b\n1,virginica,2\n3,setosa,4\n5,virginica,6\n"
    sample = drawn(file(table, classes="species"))
    assert sample.labels == ("setosa", "virginica") and np.array_equal(
        sample.train.Y, [[0, 1], [1, 0], [0, 1]]
    )
    assert np.array_equal(sample.train.X, [[1, 2], [3, 4], [5, 6]])
    assert np.array_equal(
        drawn(file(table, classes="species", coding="sign")).train.Y, [[-1], [1], [-1]]
    )
    numbered = drawn(file("1,2,10\n3,4,9\n5,5,9.0\n", classes=True))
    assert numbered.labels == ("9", "10") and np.array_equal(
        numbered.train.Y, [[0, 1], [1, 0], [1, 0]]
    )
    for bad in ("1,2,0.5\n3,4,1.5\n", "1,2,\n3,4,u\n"):
        with pytest.raises(Refused):
            drawn(file(bad, classes=True))


def test_inputs_are_standardized_by_the_training_set_and_constant_ones_said(file):
    sample = drawn(
        file(
            "a,b,y\n" + "".join(f"{i * i},0.1,{i}\n" for i in range(9)),
            test=3,
            standardize=True,
            standardize_targets=True,
        )
    )
    np.testing.assert_allclose(sample.train.X[:, 0].mean(), 0, atol=1e-15)
    np.testing.assert_allclose([sample.train.X[:, 0].std(), sample.train.Y.std()], 1, rtol=1e-14)
    assert not sample.train.X[:, 1].any() and "column 'b'" in sample.said
    assert sample.test.X[:, 0].mean() != 0


def idx(values):
    """An IDX file of bytes."""
    return (
        bytes([0, 0, 8, values.ndim])
        + b"".join(n.to_bytes(4, "big") for n in values.shape)
        + values.astype(np.uint8).tobytes()
    )


def test_images_and_labels_are_read_from_idx_files(tmp_path):
    rng = np.random.default_rng(0)
    for side, n in (("train", 12), ("t10k", 5)):
        images, labels = rng.integers(0, 256, (n, 3, 2)), np.arange(n) % 3
        (tmp_path / f"{side}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{side}-labels-idx1-ubyte").write_bytes(idx(labels))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(12) % 3)))
    path = str(tmp_path / "train-images-idx3-ubyte.gz")
    with pytest.raises(
        Refused,
        match=r"targets_path to the file of the labels, it may be .*train-labels-idx1-ubyte.gz",
    ):
        drawn(data.File(path))
    whole = {
        "targets_path": str(tmp_path / "train-labels-idx1-ubyte.gz"),
        "test_path": str(tmp_path / "t10k-images-idx3-ubyte.gz"),
    }
    whole |= {
        "test_targets_path": str(tmp_path / "t10k-labels-idx1-ubyte"),
        "classes": True,
        "divide_by": 255,
    }
    source = data.File(path, **whole)
    sample = drawn(source)
    assert (
        sample.train.X.shape == (12, 6)
        and sample.test.X.shape == (5, 6)
        and sample.train.X.max() <= 1
        and "3 x 2 flattened" in sample.said
    )
    assert np.array_equal(sample.train.Y.argmax(1), np.arange(12) % 3) and sample.labels == (
        "0",
        "1",
        "2",
    )
    few = drawn(data.File(path, **whole, train=4, test=2))
    assert len(few.train.X) == 4 and len(few.test.X) == 2
    assert [one.field for one in source.outside()] == [
        "path",
        "targets_path",
        "test_path",
        "test_targets_path",
    ]


@pytest.mark.parametrize(
    "inputs, targets",
    [("1\n\n3\n4\n", "1\n2\n\n4\n"), ("\n2\n3\n4\n", '1\n2\n""\n4\n'), ("5\n3\n2\n\n", "\n3\n2\n")],
)
def test_an_empty_line_of_one_column_is_a_missing_cell_and_targets_stay_beside_their_inputs(
    file, inputs, targets
):
    beside = file(targets, "y.csv").path
    with pytest.raises(
        Refused, match="a missing one in row 1|a missing one in row 2|as many targets as inputs"
    ):
        drawn(file(inputs, targets_path=beside))
    if inputs.count("\n") == targets.count("\n"):
        train = drawn(file(inputs, targets_path=beside, missing="drop")).train
        assert train.X.tolist() == train.Y.tolist() and len(train.X) == 2


def test_an_npy_is_a_table_whatever_it_is_called(tmp_path):
    values = np.arange(12.0).reshape(4, 3)
    for name in ("a.npy", "a.npz"):
        with (tmp_path / name).open("wb") as opened:
            np.save(opened, values)
        assert np.array_equal(drawn(data.File(tmp_path / name)).train.X, values[:, :2])


def test_an_npy_of_two_arrays_is_refused(file):
    stored = io.BytesIO()
    for rows in (3, 5):
        np.save(stored, np.ones((rows, 2)))
    with pytest.raises(
        Refused, match="one array in an .npy file, but got 208 bytes behind it in t.npy"
    ):
        drawn(file(stored.getvalue(), "t.npy"))


@pytest.mark.parametrize("bad", ["X", "Y", "X_test", "weight"])
def test_a_member_of_an_archive_that_is_no_array_is_refused_where_it_is_needed(file, bad):
    stored = io.BytesIO()
    sound = {"X": np.eye(4), "Y": np.ones(4), "X_test": np.eye(4), "Y_test": np.ones(4)}
    np.savez(stored, **{key: values for key, values in sound.items() if key != bad})
    with zipfile.ZipFile(stored, "a") as archive:
        archive.writestr("read_me.txt", "of no concern")
    if bad == "weight":
        assert len(drawn(file(stored.getvalue(), "t.npz")).train.X) == 4
    with zipfile.ZipFile(stored, "a") as archive:
        archive.writestr(f"{bad}.npy", "no array")
    with pytest.raises(Refused, match=f"an array {bad}, but got 8 bytes that are none in t.npz"):
        drawn(file(stored.getvalue(), "t.npz"))


HUGE = "a,b,y\n1e308,1e308,1e308\n-1e308,2,3\n4,5,-1e308\n"


@pytest.mark.parametrize(
    "knobs, side",
    [
        ({}, "inputs"),
        ({"whitened": True}, "inputs"),
        ({"divide_by": 1e308}, "targets"),
        ({"standardize": True}, "targets"),
    ],
    ids=str,
)
def test_numbers_too_large_to_be_multiplied_are_refused_with_what_makes_them_smaller(
    file, knobs, side
):
    experiment = Experiment(
        architectures.Mlp(hidden=(3,)), file(HUGE, **knobs), rules.Adam(), lm.Clock(steps=2)
    )
    with pytest.raises(Refused, match=f"1e\\+75 in train {side}.* 1e\\+308 at .*Standardize"):
        prepare(experiment)


def test_numbers_are_not_too_large_once_they_are_standardized(file):
    source = file(HUGE, standardize=True, standardize_targets=True)
    assert np.allclose(drawn(source).train.X.std(0), 1)
    kept = file("a,b,y\n1e70,-3,1e74\n2,1e74,5\n", "kept.csv", whitened=True)
    for one in (source, kept):
        start = prepare(
            Experiment(architectures.Mlp(hidden=(3,)), one, rules.Adam(), lm.Clock(steps=2))
        )
        assert all(np.isfinite(column).all() for column in vars(card(start.data.train)).values())


def test_what_is_no_file_is_refused_in_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", "a\0b", "x" * 5000):
        with pytest.raises(Refused, match="existing file"):
            data.File(path)


def test_a_changed_file_is_refused_and_another_path_drops_the_old_sum(file, tmp_path):
    source = file("a,y\n1,2\n3,4\n")
    (tmp_path / "other.csv").write_text("a,y\n5,6\n7,8\n")
    experiment = Experiment(
        architectures.DeepLinear.example(), source, rules.GradientDescent(), lm.Clock(steps=2)
    )
    (tmp_path / "t.csv").write_text("a,y\n1,2\n3,5\n")
    with pytest.raises(Refused, match=source.sha256[:16]):
        drawn(source)
    other = experiment.with_value("data.path", str(tmp_path / "other.csv")).data
    assert np.array_equal(drawn(other).train.X, [[5], [7]]) and other.sha256 != source.sha256


def test_a_thousand_tables_come_out_as_they_went_in_or_are_refused(tmp_path):
    came = 0
    for seed in range(1000):
        rng = random.Random(seed)
        n, m = rng.randint(2, 6), rng.randint(2, 4)
        truth = [
            [
                rng.choice(
                    [
                        float(rng.randint(-9, 9)),
                        rng.gauss(0, 1),
                        rng.gauss(0, 1) * 10.0 ** rng.randint(-200, 200),
                    ]
                )
                for _ in range(m)
            ]
            for _ in range(n)
        ]
        comma = rng.random() < 0.3
        cells = [[repr(x).replace(".", "," if comma else ".") for x in row] for row in truth]
        broken = rng.random() < 0.3
        if broken:
            cells[rng.randrange(n)][rng.randrange(m)] = rng.choice(
                ["", "NA", "?", "1.O", "1_0", "0x1", "inf", "x", "1 000", "--1", "１", "1e999"]
            )
        head = rng.choice(
            [None, [f"x{place}" for place in range(m)], [str(place) for place in range(m)]]
        )
        written = io.StringIO(newline="")
        writer = csv.writer(
            written,
            delimiter=rng.choice(";\t|" if comma else ",;\t| "),
            quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        )
        writer.writerows([*([head] if head else []), *cells])
        path = tmp_path / "t.csv"
        path.write_bytes(written.getvalue().encode(rng.choice(["utf-8", "utf-8-sig", "utf-16"])))
        try:
            view = drawn(data.File(path)).train
        except Refused:
            continue
        assert not broken and np.array_equal(np.hstack([view.X, view.Y]), truth), written.getvalue()
        came += 1
    assert came > 300


X = np.random.default_rng(0).standard_normal((12, 3))
Y = X @ [1.0, 2.0, 3.0]


def fitted(source, **parts):
    """An experiment on a source."""
    return Experiment(
        architectures.DeepLinear(hidden=(2,)),
        source,
        rules.GradientDescent(rate=0.05),
        lm.Clock(steps=4, every=2),
        **parts,
    )


def test_arrays_in_hand_are_data_by_their_content(tmp_path):
    one, other = fitted(data.Arrays(X, Y)), fitted(data.Arrays(X.tolist(), list(Y)))
    assert one.fingerprint == other.fingerprint != fitted(data.Arrays(X + 1, Y)).fingerprint
    made = lm.run(one, folder=tmp_path / "run")
    back = lm.load(tmp_path / "run")
    assert back.experiment.fingerprint == one.fingerprint and np.array_equal(
        back["loss"].values, made["loss"].values
    )
    assert (
        Experiment.parse(
            (tmp_path / "run" / "experiment.toml").read_text(), tmp_path / "run"
        ).fingerprint
        == one.fingerprint
    )


def test_what_arrays_hold_is_nobody_elses_to_change():
    mine = X.copy()
    source = data.Arrays(mine, Y)
    mine[0, 0] = 99.0
    assert source.X[0, 0] == X[0, 0]
    with pytest.raises(ValueError):
        source.X[0, 0] = 99.0


def test_arrays_bring_classes_weights_gaps_and_a_test_set():
    names = np.array(["v", "u"] * 6)
    sample = prepare(fitted(data.Arrays(X, names, classes=True), loss=losses.CrossEntropy())).data
    assert sample.labels == ("u", "v") and np.array_equal(sample.train.Y.argmax(1), [1, 0] * 6)
    assert drawn(data.Arrays(X, [0, 1] * 6, classes=True, labels=["no", "yes"])).labels == (
        "no",
        "yes",
    )
    weighed = drawn(
        data.Arrays(
            X,
            np.stack([Y, Y], 1),
            weight=np.arange(12),
            X_test=X[:2],
            Y_test=np.stack([Y, Y], 1)[:2],
        )
    )
    assert weighed.train.weight.shape == (12, 2) and len(weighed.test.X) == 2
    gaps = np.where(np.arange(36).reshape(12, 3) == 4, np.nan, X)
    with pytest.raises(Refused, match="row 1, column 1"):
        drawn(data.Arrays(gaps, Y))
    assert len(drawn(data.Arrays(gaps, Y, missing="drop")).train.X) == 11
    assert np.isnan(data.Arrays(np.ma.masked_array(X, X > 1), Y, missing="mean").X).any()


BAD = [
    ((X, Y[:5]), {}, "of the same n"),
    ((X, Y), {"weight": [1.0]}, "a weight of shape"),
    ((X, Y), {"X_test": X}, "together"),
    ((X, Y), {"labels": ["a", "b"]}, "a label for each"),
    ((X, np.array(["a"] * 12)), {}, "classes=True"),
    ((X[:, :, None], Y), {}, "a matrix X"),
    ((X + 1j, Y), {}, "an array of numbers"),
    (([[1, 2], [3]], [1, 2]), {}, "an array of numbers"),
    ((X * np.inf, Y), {}, "finite numbers in X"),
]


@pytest.mark.parametrize("arrays, knobs, message", BAD, ids=[row[2] for row in BAD])
def test_arrays_that_do_not_go_together_are_refused(arrays, knobs, message):
    with pytest.raises(Refused, match=message):
        data.Arrays(*arrays, **knobs)


@pytest.mark.parametrize(
    "bad", [X, (X, Y), {"X": X, "Y": Y}, "table.csv"], ids=["array", "pair", "dict", "path"]
)
def test_what_is_no_data_is_pointed_to_the_kind_that_takes_it(bad):
    with pytest.raises(Refused, match=r"data\.Arrays"):
        fitted(bad)


class Frame:
    """What polars' DataFrame looks like from without."""

    def __init__(self, columns):
        self.columns, self.held = list(columns), list(columns.values())

    def get_columns(self):
        """The columns."""
        return self.held


def test_columns_of_frames_are_chosen_by_name():
    columns = {"a": X[:, 0], "b": X[:, 1], "s": ["u", "v"] * 6, "y": Y, "gap": [1.0, None] * 6}
    frames = [columns, Frame(columns), pytest.importorskip("pandas").DataFrame(columns)]
    for frame in frames:
        plain = data.Arrays.from_frame(frame, inputs=["a", "b"], targets=["y"])
        assert np.array_equal(plain.X, X[:, :2]) and np.array_equal(plain.Y[:, 0], Y)
        assert drawn(data.Arrays.from_frame(frame, inputs=["a", "y"], classes="s")).labels == (
            "u",
            "v",
        )
        assert (
            np.isnan(
                data.Arrays.from_frame(frame, inputs=["gap"], targets="y", missing="mean").X
            ).sum()
            == 6
        )
        for wrong in (
            {"targets": "q"},
            {"targets": "y"},
            {"targets": ["a", "a"]},
            {"inputs": ["a"], "targets": ["a"]},
        ):
            with pytest.raises(Refused):
                data.Arrays.from_frame(frame, **wrong)
    for wrong in (X, 3, {"a": [1, 2], "b": [1]}, {}):
        with pytest.raises(Refused):
            data.Arrays.from_frame(wrong)


def test_a_given_matrix_is_completed():
    matrix, mask = (
        np.outer([1, 2, 3, 4], [1.0, 2, 1]),
        np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1]]),
    )
    sample = drawn(data.GivenCompletion(matrix, mask))
    assert (
        np.array_equal(sample.train.Y, matrix.T)
        and np.array_equal(sample.train.weight, mask.T)
        and np.array_equal(sample.test.weight, 1 - mask.T)
    )
    unknown = drawn(data.GivenCompletion(np.where(mask, matrix, np.nan)))
    assert np.array_equal(unknown.train.weight, mask.T) and unknown.test is None
    for bad in (
        (matrix, mask[:2]),
        (matrix, -mask),
        (np.where(mask, matrix, np.nan), np.ones((4, 3))),
        (matrix, 0 * mask),
        ([1.0, 2.0], None),
    ):
        with pytest.raises(Refused):
            data.GivenCompletion(*bad)
