"""Images and sequences: what is read from files of every kind, held against numpy's own reading,
and what a bad one is told."""

import gzip
import pickle
import struct
import zipfile

import numpy as np
import pytest
from sklearn import datasets

import learnmech as lm
from learnmech import architectures, data, losses, rules
from learnmech.data import images as images_module
from learnmech.errors import Refused
from learnmech.experiment.recipe import stream_of

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (30, 5, 4), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def drawn(source):
    """What a source draws from its own seed."""
    return source.draw(stream_of(source.seed, "data"))


def idx(values):
    """An array as IDX."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return head + values.tobytes()


def written(folder, images=PIXELS, labels=LABELS, pack=bytes, name="train", end=""):
    """A pair of IDX files, as MNIST's are called."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
    (folder / f"{name}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return folder


def cifar(images, labels, front=0):
    """CIFAR's records, of images (n, 32, 32, 3)."""
    rows = [
        bytes([0] * front + [label]) + image.transpose(2, 0, 1).tobytes()
        for image, label in zip(images, labels, strict=True)
    ]
    return b"".join(rows)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_of_a_folder_are_read_with_their_labels_and_test_set(tmp_path, end):
    pack = gzip.compress if end else bytes
    folder = written(tmp_path / "set", pack=pack, end=end)
    written(folder, PIXELS[:6], LABELS[:6], pack, "t10k", end)
    sample = drawn(data.Images(folder))
    np.testing.assert_array_equal(sample.train.held, PIXELS.reshape(30, 20))
    np.testing.assert_array_equal(sample.train.X, PIXELS.reshape(30, 20) / 255)
    np.testing.assert_array_equal(sample.train.Y, np.eye(3)[LABELS])
    np.testing.assert_array_equal(sample.test.X, PIXELS[:6].reshape(6, 20) / 255)
    assert sample.grid == (5, 4, 1) and sample.train.held.dtype == np.uint8
    one = drawn(data.Images(folder / f"train-images-idx3-ubyte{end}", flat=False))
    np.testing.assert_array_equal(one.train.X[..., 0], PIXELS / 255)
    assert one.spaces[0].axes == ("row", "column", "channel") and one.test is None


def test_cifar_npz_and_folders_give_the_images_that_were_put_there(tmp_path):
    image = pytest.importorskip("PIL.Image")
    color = RNG.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 9, 0, 1, 2, 9])
    (tmp_path / "c10").mkdir()
    (tmp_path / "c10" / "data_batch_1.bin").write_bytes(cifar(color[:4], labels[:4]))
    (tmp_path / "c10" / "test_batch.bin").write_bytes(cifar(color[4:], labels[4:]))
    (tmp_path / "c100").mkdir()
    (tmp_path / "c100" / "train.bin").write_bytes(cifar(color, labels, front=1))
    np.savez(tmp_path / "kept.npz", x_train=color, y_train=labels[:, None])
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "folders" / name).mkdir(parents=True)
        for at in range(2):
            image.fromarray(color[2 * place + at]).save(tmp_path / "folders" / name / f"{at}.png")
    ten, hundred, kept, named = (
        drawn(data.Images(tmp_path / one, flat=False))
        for one in ("c10", "c100", "kept.npz", "folders")
    )
    np.testing.assert_array_equal(ten.train.held, color[:4])
    np.testing.assert_array_equal(ten.test.held, color[4:])
    assert ten.train.Y.shape == (4, 10) and hundred.train.Y.shape == (8, 100)
    np.testing.assert_array_equal(ten.train.Y.argmax(1), labels[:4])
    np.testing.assert_array_equal(hundred.train.held, color)
    np.testing.assert_array_equal(kept.train.held, color)
    np.testing.assert_array_equal(named.train.held, color[:4])
    assert named.labels == ("cat", "dog")
    np.testing.assert_array_equal(named.train.Y.argmax(1), [0, 0, 1, 1])


def test_digits_are_those_of_scikit_learn():
    sample, (X, digits) = (
        drawn(data.Images("digits", divide_by=16)),
        datasets.load_digits(return_X_y=True),
    )
    np.testing.assert_array_equal(sample.train.X, X / 16)
    np.testing.assert_array_equal(sample.train.Y.argmax(1), digits)


def test_the_identity_of_images_is_their_content_and_a_changed_folder_is_refused(tmp_path):
    one, two = (data.Images(written(tmp_path / name)) for name in ("one", "two"))
    assert one.sha256 == two.sha256
    experiments = [
        lm.Experiment(
            architectures.Mlp(hidden=(3,)), part, rules.GradientDescent(rate=0.1), lm.Clock(steps=4)
        )
        for part in (one, two)
    ]
    assert experiments[0].fingerprint == experiments[1].fingerprint
    record = lm.run(experiments[0], ("loss",), folder=tmp_path / "run")
    again = lm.load(tmp_path / "run")
    np.testing.assert_array_equal(
        again.at(3).params["layer1"]["weight"], record.at(3).params["layer1"]["weight"]
    )
    written(tmp_path / "one", 255 - PIXELS)
    assert data.Images(tmp_path / "one").sha256 != two.sha256
    with pytest.raises(Refused, match="one has changed: restore it"):
        drawn(one)


def test_pixels_of_eight_bits_are_learned_from_as_their_numbers_are():
    """The same pixels: losses of full and of mini-batches to round-off, and the same bits in
    replay."""
    for rule in (rules.GradientDescent(rate=0.2), rules.SGD(rate=0.2, batch=8)):
        seen = {}
        for dtype in ("uint8", "float"):
            source = data.Images("digits", divide_by=16, train=50, test=10, dtype=dtype)
            record = lm.run(
                lm.Experiment(
                    architectures.Mlp(hidden=(8,)), source, rule, lm.Clock(steps=30, every=10)
                ),
                ("loss", "test-loss", "accuracy"),
            )
            seen[dtype] = record
        held = seen["uint8"].start.system.train.held
        assert held.dtype == np.uint8 and seen["float"].start.system.train.held.dtype == np.float64
        for name in ("loss", "test_loss", "accuracy"):
            # thirty steps in float64, on pixels that are equal to the bit
            np.testing.assert_allclose(seen["uint8"][name], seen["float"][name], rtol=1e-12)
    # the last source is that of mini-batches: a replayed state is that of a run that ends there
    whole = seen["uint8"]
    short = lm.run(whole.start.experiment.with_value("clock", lm.Clock(steps=15, every=15)), ())
    np.testing.assert_array_equal(
        whole.at(15).params["layer2"]["weight"], short.at(15).params["layer2"]["weight"]
    )


def test_a_network_that_mixes_samples_takes_pixels_as_numbers():
    source = data.Images("digits", divide_by=16, train=30, test=10)
    experiment = lm.Experiment(
        architectures.Mlp(hidden=(6,), norm="batch"),
        source,
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=2),
    )
    assert lm.prepare(experiment).system.train.held.dtype == np.float64


FASTA = ">a|x|1.5\nACDA\nCC\n>b|y|2.5\nacdacd\n>c|x|-1\nAAAAAA\n"


@pytest.fixture
def fasta(tmp_path):
    """Three sequences, in capitals or not, over one line or two."""
    path = tmp_path / "three.fasta"
    path.write_text(FASTA)
    return path


def test_fasta_is_read_as_ones_among_zeros_or_as_ids(fasta, tmp_path):
    ids = np.array([[0, 1, 2, 0, 1, 1], [0, 1, 2, 0, 1, 2], [0] * 6])
    source = data.Sequences(fasta, alphabet="ACD-")
    sample = drawn(source)
    np.testing.assert_array_equal(sample.train.X, np.eye(4)[ids].reshape(3, 24))
    np.testing.assert_array_equal(sample.train.Y[:, 0], [1.5, 2.5, -1])
    whole = drawn(data.Sequences(fasta, alphabet="ACD-", inputs="ids", target=1, classes=True))
    np.testing.assert_array_equal(whole.train.X, ids)
    assert whole.spaces[0].vocabulary == 4 and whole.labels == ("x", "y")
    np.testing.assert_array_equal(whole.train.Y.argmax(1), [0, 1, 0])
    some = drawn(data.Sequences(fasta, positions=(2, 5), alphabet="ACD"))
    np.testing.assert_array_equal(some.train.X, np.eye(3)[ids[:, [2, 5]]].reshape(3, 6))
    table = tmp_path / "table.csv"
    table.write_text("name,sequence,y\na,ACDACC,1.5\nb,ACDACD,2.5\nc,AAAAAA,-1\n")
    listed = drawn(data.Sequences(table, target="y", alphabet="ACD-"))
    np.testing.assert_array_equal(listed.train.X, sample.train.X)
    np.testing.assert_array_equal(listed.train.Y, sample.train.Y)


def test_shorter_sequences_are_filled_up_where_that_is_asked_for(tmp_path):
    path = tmp_path / "uneven.fasta"
    path.write_text(">1\nAC\n>2\nA\n")
    hot = drawn(data.Sequences(path, alphabet="AC", pad=True)).train.X
    np.testing.assert_array_equal(hot, [[1, 0, 0, 1], [1, 0, 0, 0]])
    ids = drawn(data.Sequences(path, alphabet="AC", pad=True, inputs="ids"))
    np.testing.assert_array_equal(ids.train.X, [[0, 1], [0, 2]])
    assert ids.spaces[0].vocabulary == 3


def test_gb1_takes_its_splits_also_from_an_archive(tmp_path):
    rows = "Variants,HD,Fitness,sampled\nVDGV,0,1.0,train\nADGV,1,0.5,test\nVDGA,1,0.25,\n"
    path = tmp_path / "gb1.csv.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("four_mutations_full_data.csv", rows)
    whole, split = drawn(data.Gb1(path)), drawn(data.Gb1(path, split="sampled"))
    assert whole.train.X.shape == (3, 80) and (whole.train.X.sum(1) == 4).all()
    np.testing.assert_array_equal(whole.train.Y[:, 0], [1, 0.5, 0.25])
    assert len(split.train.X) == 1 and split.test.Y.tolist() == [[0.5]]


@pytest.mark.parametrize(
    "places, byte, got",
    [((6, 8), 1, "an encrypted one"), ((8, 10), 97, "compression method is not supported")],
    ids=["encrypted", "packed in an unknown way"],
)
def test_an_archive_that_does_not_open_is_to_be_unpacked_first(tmp_path, places, byte, got):
    path = tmp_path / "gb1.csv.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a.csv", "Variants,HD,Fitness\nVDGV,0,1.0\n")
    raw = bytearray(path.read_bytes())
    for begin, place in zip((0, raw.index(b"PK\x01\x02")), places, strict=True):
        raw[begin + place] = byte
    path.write_bytes(raw)
    with pytest.raises(Refused, match=f"zip archive that opens .*{got}.* Unpack it first"):
        drawn(data.Gb1(path))


def _refused_files(folder):
    """{what: (what makes the data, what it is told)}."""
    whole = idx(PIXELS)
    (folder / "short").mkdir()
    written(folder / "short")
    (folder / "short" / "train-images-idx3-ubyte").write_bytes(whole[:-7])
    written(folder / "magic")
    (folder / "magic" / "train-images-idx3-ubyte").write_bytes(b"\x01\x02" + whole[2:])
    written(folder / "packed", pack=gzip.compress, end=".gz")
    packed = folder / "packed" / "train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    written(folder / "fewer", labels=LABELS[:-1])
    written(folder / "alone")
    (folder / "alone" / "train-labels-idx1-ubyte").unlink()
    color = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    (folder / "short.bin").write_bytes(cifar(color, [0, 1])[:-5])
    (folder / "beyond.bin").write_bytes(cifar(color, [0, 12]))
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": color}, protocol=2))
    np.savez(folder / "objects.npz", images=np.array([{}, {}], object), labels=[0, 1])
    np.savez(folder / "first.npz", images=color.transpose(0, 3, 1, 2), labels=[0, 1])
    np.savez(folder / "names.npz", pictures=color, labels=[0, 1])
    (folder / "zip.npz").write_bytes((folder / "names.npz").read_bytes()[:200])
    (folder / "empty").mkdir()
    (folder / "letters.fasta").write_text(">1\nACX\n")
    (folder / "header.fasta").write_text(">one\nACD\n")
    (folder / "nothing.fasta").write_text(">1\n>2\nAC\n")
    (folder / "gb1.csv").write_text("Variants,Fit\nVDGV,1\n")
    written(folder / "single", labels=np.array([0] * 29 + [1], np.uint8))
    return {
        "short": "bytes of numbers for an IDX array",
        "magic": "IDX, two zeros, a type and a number of axes",
        "packed": "a gzip file that is whole",
        "fewer": "a label for each of the 30 images",
        "alone": "Set labels_path to their file",
        "short.bin": "a file cut short: 6141 bytes",
        "beyond.bin": "labels from 0 to 9, but got 12 of image 1",
        "data_batch_1": "a pickle in data_batch_1, which is not opened",
        "objects.npz": "an .npz archive of plain arrays",
        "first.npz": "Put the axis of the channels last",
        "names.npz": "arrays images and labels, or x_train and y_train",
        "zip.npz": "an .npz archive",
        "empty": "a folder of images for each class",
        "letters.fasta": "'X' at position 2 (from 0) of sequence 1 of letters.fasta",
        "header.fasta": "a number in field -1 of the header",
        "nothing.fasta": "a sequence under each header",
        "gb1.csv": "a column Fitness",
        "single": "one of class '1'",
        "nowhere": "a file or folder of images",
    }


def test_a_bad_file_is_told_in_one_sentence(tmp_path):
    for name, said in _refused_files(tmp_path).items():
        path = tmp_path / name
        with pytest.raises(Refused) as told:
            if name.endswith(".fasta"):
                drawn(data.Sequences(path))
            elif name == "gb1.csv":
                drawn(data.Gb1(path))
            else:
                drawn(data.Images(path, test=2 if name == "single" else 0))
        assert said in str(told.value), f"{name}: {told.value}"
        assert str(told.value).count("\n") == 0 and " needs " in str(told.value)


def test_images_of_mixed_sizes_and_broken_ones_are_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, size in (("cat", (4, 5)), ("dog", (5, 5))):
        (tmp_path / name).mkdir()
        image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / name / "1.png")
    with pytest.raises(Refused, match=r"images of one size, 4 x 5 x 1, but got 5 x 5 x 1 of dog"):
        drawn(data.Images(tmp_path))
    broken = tmp_path / "dog" / "1.png"
    broken.write_bytes((tmp_path / "cat" / "1.png").read_bytes()[:40])
    with pytest.raises(Refused, match="an image that is whole"):
        drawn(data.Images(tmp_path))


def test_a_set_that_is_not_there_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(images_module, "SETS", tmp_path)
    with pytest.raises(Refused, match="Debian package dataset-fashion-mnist"):
        data.Images()
    written(tmp_path / "fashion-mnist")
    assert drawn(data.Images(keep=("t-shirt", "pullover"))).labels == ("t-shirt", "pullover")


def test_categories_of_a_table_become_ones_among_zeros(tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("color,size,y\nred,1,2\nblue,2,3\nred,3,4\n,1,1\n")
    test.write_text("color,size,y\nred,5,2\n")
    source = data.File(train, categories=True, missing="drop", test_path=str(test))
    sample = drawn(source)
    np.testing.assert_array_equal(sample.train.X, [[0, 1, 1], [1, 0, 2], [0, 1, 3]])
    np.testing.assert_array_equal(sample.test.X, [[0, 1, 5]])
    with pytest.raises(Refused, match="a missing one in row 5"):
        drawn(data.File(train, categories="color"))
    test.write_text("color,size,y\ngreen,5,2\n")
    with pytest.raises(Refused, match="'green' in row 2 of test.csv"):
        drawn(data.File(train, categories=True, missing="drop", test_path=str(test)))
    frame = {"color": ["red", "blue"], "size": [1, 2], "y": [0.5, 1.5]}
    made = data.Arrays.from_frame(frame, categories=["color"])
    np.testing.assert_array_equal(made.X, [[0, 1, 1], [1, 0, 2]])


def test_a_parquet_file_is_the_table_that_was_written(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "table.parquet"
    table = pyarrow.table({"a": [1.0, 2.0, None], "group": ["u", "v", "u"], "y": [1, 2, 3]})
    parquet.write_table(table, path)
    sample = drawn(data.File(path, categories="group", missing="drop"))
    np.testing.assert_array_equal(sample.train.X, [[1, 1, 0], [2, 0, 1]])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Refused, match="a Parquet file that is whole"):
        drawn(data.File(path))


def test_without_pyarrow_parquet_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1....PAR1")
    with pytest.raises(Refused, match=r"learnmech\[tables\]"):
        drawn(data.File(path))


def test_ids_of_sequences_are_learned_from(fasta):
    source = data.Sequences(fasta, alphabet="ACD", inputs="ids", target=1, classes=True)
    record = lm.run(
        lm.Experiment(
            architectures.Embedding(width=4, hidden=(4,)),
            source,
            rules.Adam(rate=0.05),
            lm.Clock(steps=20, every=20),
            loss=losses.CrossEntropy(),
        ),
        ("loss",),
    )
    assert record["loss"].values[-1] < record["loss"].values[0]
