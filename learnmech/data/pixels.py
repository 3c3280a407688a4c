"""Pixels: images and their labels in a file or a folder, told by what is in them: IDX, CIFAR's
binary records, npz, a folder of images for each class."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learnmech.data import formats
from learnmech.errors import refused

Array = np.ndarray
CIFAR = {3073: (1, 10), 3074: (2, 100)}
"""{bytes of a record: (bytes of labels in front of 3 x 32 x 32 pixels, classes)}; of the two labels
of CIFAR-100 the second is the fine one."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
ARRAYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("x", "y", "x_test", "y_test"),
    ("images", "labels", "test_images", "test_labels"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)


@dataclasses.dataclass(frozen=True)
class Labeled:
    """Images (n, rows, columns, channels), and the class of each by its place or by its name."""

    name: str
    images: Array
    labels: Array
    classes: int | None = None


Found = tuple[Labeled, Labeled | None]


def found(who: str, path: Path, labels: Path | None) -> Found:
    """The images of a file or folder, and a test set of their own or None."""
    if path.is_dir():
        return _of_folder(who, path)
    raw = formats.unpacked(who, path.name, path.read_bytes())
    if formats.is_idx(raw):
        beside = labels or _labels_beside(who, path)
        return _idx_pair(who, path, beside, raw), None
    # what is_text knows and does not read, it refuses by name
    if raw.startswith(b"PK") and not formats.is_text(who, path.name, raw):
        return _of_npz(who, path.name, formats.arrays(who, path.name, raw))
    if raw.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise refused(
            who,
            "images without code in them",
            f"a pickle in {path.name}, which is not opened",
            "Get the binary version (data_batch_1.bin), or give data.Arrays",
        )
    if raw and any(not len(raw) % size for size in CIFAR):
        return _records(who, [path.name], [raw]), None
    raise refused(
        who,
        "IDX, an .npz, CIFAR's binary records or a folder of images",
        f"another beginning, {raw[:4]!r}, or a file cut short: {len(raw)} bytes in {path.name}",
        "Download it again, or read it with a library of its own and give data.Arrays",
    )


def _of_folder(who, folder):
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    images = [path for path in entries if path.is_file() and "images" in path.name]
    if images:
        return _of_idx(who, images)
    records = [path for path in entries if path.suffix == ".bin"]
    if records:
        own = [path for path in records if path.stem.startswith("test")]
        rest = [path for path in records if path not in own and "meta" not in path.stem]
        if not rest:
            rest, own = own, []
        first, test = (
            _records(who, [p.name for p in some], [p.read_bytes() for p in some]) if some else None
            for some in (rest, own)
        )
        assert first is not None
        return first, test
    if any(path.name.startswith("data_batch") for path in entries):
        raise refused(
            who,
            "images without code in them",
            f"pickles in {folder.name}, which are not opened",
            "Get the binary version (data_batch_1.bin)",
        )
    folders = {path.name: path for path in entries if path.is_dir()}
    if {"train", "test"} <= set(folders):
        train = _of_classes(who, folders["train"], None)
        return train, _of_classes(who, folders["test"], train)
    return _of_classes(who, folder, None), None


def _of_idx(who, images):
    """IDX files of a folder: those that are named for a test set (t10k, test) are one."""
    test = [path for path in images if path.name.startswith(("t10k", "test"))]
    train = [path for path in images if path not in test]
    if len(train) > 1 or len(test) > 1:
        raise refused(
            who,
            "one file of images and one of a test set",
            f"{', '.join(path.name for path in images[:4])}",
            "Set path to the file that is meant",
        )
    pairs = [_idx_pair(who, path, _labels_beside(who, path), None) for path in (*train, *test)]
    return pairs[0], pairs[1] if len(pairs) > 1 else None


def _labels_beside(who, path):
    """The file of the labels of a file of images, by its name."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    names = sorted({name, name.removesuffix(".gz"), f"{name}.gz"} - {path.name})
    there = [path.parent / one for one in names if (path.parent / one).is_file()]
    if there:
        return there[0]
    raise refused(
        who,
        f"the labels of {path.name}",
        f"none beside it in {path.parent}",
        "Set labels_path to their file",
    )


def _idx_pair(who, path, labels, raw):
    def of(file, raw=None):
        raw = formats.unpacked(who, file.name, file.read_bytes()) if raw is None else raw
        if not formats.is_idx(raw):
            raise refused(
                who,
                f"IDX, two zeros, a type and a number of axes, in {file.name}",
                f"{raw[:4]!r}",
                "Download it again",
            )
        return formats.arrays(who, file.name, raw)

    return labeled(who, path.name, of(path, raw), of(labels))


def _of_npz(who, name, arrays):
    if not isinstance(arrays, dict):
        raise refused(who, "an .npz of images and labels", f"one array in {name}", "Give both")
    lower = {key.lower(): value for key, value in arrays.items()}
    for x, y, x_test, y_test in ARRAYS:
        if x in lower and y in lower:
            test = None
            if x_test in lower and y_test in lower and x_test != x:
                test = labeled(who, name, lower[x_test], lower[y_test])
            return labeled(who, name, lower[x], lower[y]), test
    raise refused(
        who,
        "arrays images and labels, or x_train and y_train",
        f"{', '.join(arrays) or 'nothing'} in {name}",
        "Write it by numpy.savez(path, images=images, labels=labels)",
    )


def _records(who, names, raws):
    size = next((size for size in CIFAR if not any(len(raw) % size for raw in raws)), None)
    if size is None or not all(raws):
        worst = min(range(len(raws)), key=lambda i: len(raws[i]))
        raise refused(
            who,
            "whole records of 3,073 or 3,074 bytes, as CIFAR's are",
            f"{len(raws[worst])} bytes in {names[worst]}",
            "Download it again",
        )
    front, classes = CIFAR[size]
    table = np.concatenate([np.frombuffer(raw, np.uint8).reshape(-1, size) for raw in raws])
    images = table[:, front:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return labeled(who, name, images, table[:, front - 1], classes)


def labeled(
    who: str, name: str, images: Array, labels: Array, classes: int | None = None
) -> Labeled:
    """Images and labels that go together, (n, rows, columns) with one channel more."""
    if images.dtype.kind not in "uif" or images.ndim not in (3, 4) or not images.size:
        raise refused(
            who,
            "images (n, rows, columns) or (n, rows, columns, channels)",
            f"{images.dtype} of shape {images.shape} in {name}",
            "Write them as such an array of numbers",
        )
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] > 4:
        raise refused(
            who,
            "one to four channels on the last axis",
            f"images {images.shape[1:]} in {name}",
            "Put the axis of the channels last: images.transpose(0, 2, 3, 1)",
        )
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (len(images),):
        raise refused(
            who,
            f"a label for each of the {len(images)} images of {name}",
            f"labels of shape {labels.shape}",
            "Give the labels of these images",
        )
    whole = labels.dtype.kind in "ui" or (
        labels.dtype.kind == "f" and bool(np.all(labels == np.round(labels)))
    )
    if not whole and labels.dtype.kind != "U":
        raise refused(
            who,
            "labels that are whole numbers or names",
            f"{labels.dtype} in {name}",
            "Give classes, or give data.Arrays numbers to be learned",
        )
    if whole:
        labels = labels.astype(np.int64)
        _refuse_beyond(who, name, labels, classes)
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise refused(who, "finite pixels", f"others in {name}", "Mend the images")
    if images.dtype.kind == "i" and 0 <= images.min() and images.max() < 256:
        images = images.astype(np.uint8)
    return Labeled(name, images, labels, classes)


def _refuse_beyond(who, name, labels, classes):
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        row = int(np.argmax(labels == wrong))
        raise refused(
            who,
            f"labels from 0 to {classes - 1}" if classes else "labels from 0 on",
            f"{wrong} of image {row} (from 0) in {name}",
            "Download it again, or mend the labels",
        )


def _of_classes(who, folder, like):
    """A folder of images for each class, in the order of their names."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [
        (path, name)
        for name in names
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise refused(
            who,
            "IDX files, CIFAR's .bin files or a folder of images for each class",
            f"none in {folder}",
            "Set path to such a folder",
        )
    images = _opened(who, files, None if like is None else like.images.shape[1:])
    return Labeled(folder.name, images, np.array([name for _, name in files]))


def _opened(who: str, files: Sequence[tuple[Path, str]], shape: tuple | None) -> Array:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise refused(
            who, "Pillow, to open images", "none installed", "pip install 'learnmech[images]'"
        ) from None
    held: list[Array] = []
    for path, _ in files:
        try:
            with Image.open(path) as opened:
                gray = opened.mode in ("1", "L", "I", "I;16", "F", "LA")
                pixels = np.asarray(opened.convert("L" if gray else "RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise refused(
                who, "an image that is whole", f"{path.name}: {said}", "Replace it"
            ) from None
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        shape = pixels.shape if shape is None else shape
        if pixels.shape != shape:
            raise refused(
                who,
                f"images of one size, {' x '.join(map(str, shape))}",
                f"{' x '.join(map(str, pixels.shape))} of {path.parent.name}/{path.name}",
                "Bring them to one size and mode first",
            )
        held.append(pixels)
    return np.stack(held)
