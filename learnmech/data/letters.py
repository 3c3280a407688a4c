"""Letters: sequences over an alphabet, as ids and as ones among zeros, and the FASTA files that
hold them."""

from collections.abc import Sequence

import numpy as np

from learnmech.errors import refused

ALPHABETS = {
    "protein": "ACDEFGHIKLMNPQRSTVWY",
    "dna": "ACGT",
    "rna": "ACGU",
}
GAP = "-"


def alphabet_of(who: str, named: str) -> str:
    """The letters of an alphabet, by its name or as they are written."""
    letters = ALPHABETS.get(named, named)
    if len(letters) < 2 or len(set(letters)) != len(letters) or not letters.isprintable():
        raise refused(
            who,
            f"an alphabet, {', '.join(ALPHABETS)} or its letters, each once",
            repr(named),
            'Write for example "ACGT-"',
        )
    return letters


def fasta(who: str, name: str, raw: bytes) -> tuple[list[str], list[str]]:
    """(headers without >, sequences) of a FASTA file; a sequence may go over several lines."""
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise refused(
            who, "FASTA as text in UTF-8", f"{name}: {error.reason}", "Save it as UTF-8"
        ) from None
    headers: list[str] = []
    parts: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line.startswith(">"):
            headers.append(line[1:].strip())
            parts.append([])
        elif line and not line.startswith(";"):
            if not parts:
                raise refused(
                    who,
                    "FASTA, whose first line begins with >",
                    f"{line[:40]!r} in line {number} of {name}",
                    "Give a FASTA file, or a csv with a column of sequences",
                )
            parts[-1].append(line)
    sequences = ["".join(one) for one in parts]
    empty = next((row for row, one in enumerate(sequences) if not one), None)
    if not sequences or empty is not None:
        got = "none" if empty is None else f"none under the header {headers[empty][:40]!r}"
        raise refused(who, "a sequence under each header", f"{got} in {name}", "Download it again")
    return headers, sequences


def ids(who: str, name: str, sequences: Sequence[str], letters: str, pad: bool) -> np.ndarray:
    """(n, positions) places in the alphabet, in capitals or not; behind a shorter sequence, where
    it is filled up, -1. Refuses unknown letters and, unless `pad`, unlike lengths."""
    lengths = np.array([len(one) for one in sequences])
    longest = int(lengths.max())
    if not pad and lengths.min() != longest:
        row = int(np.argmax(lengths != lengths[0]))
        raise refused(
            who,
            f"sequences of one length, {lengths[0]}",
            f"{lengths[row]} letters in sequence {row + 1} of {name}",
            "Set pad = true to fill the shorter ones up, or align them first",
        )
    joined = "".join(one.ljust(longest, "\0") for one in sequences)
    if not joined.isascii():
        wrong = next(letter for letter in joined if not letter.isascii())
        raise _unknown(who, name, sequences, wrong, letters)
    table = np.full(128, -2, np.int64)
    table[0] = -1
    lower = letters.lower() if letters == letters.upper() else letters
    for place, (one, other) in enumerate(zip(letters, lower, strict=True)):
        if ord(one) > 127:
            raise refused(who, "letters that are ASCII", repr(one), "Map them first")
        table[ord(other)] = table[ord(one)] = place
    found = table[np.frombuffer(joined.encode("ascii"), np.uint8)]
    if (found == -2).any():
        wrong = joined[int(np.argmax(found == -2))]
        raise _unknown(who, name, sequences, wrong, letters)
    return found.reshape(len(sequences), longest)


def _unknown(who, name, sequences, wrong, letters):
    row = next(place for place, one in enumerate(sequences) if wrong in one)
    return refused(
        who,
        f"sequences of the letters {letters}",
        f"{wrong!r} at position {sequences[row].index(wrong)} (from 0) of sequence {row + 1} of"
        f" {name}",
        "Set alphabet to the letters there are, or leave that sequence out",
    )


def hot(places: np.ndarray, count: int) -> np.ndarray:
    """(n, positions x count) of zeros and ones, eight bits each; nothing at a place of -1."""
    return (places[:, :, None] == np.arange(count)).astype(np.uint8).reshape(len(places), -1)
