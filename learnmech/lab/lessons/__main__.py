"""The pages of the lessons, from their texts: `python -m learnmech.lab.lessons docs/lessons`."""

import sys
from pathlib import Path

from learnmech.lab.lessons.pages import pages

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, page in pages().items():
        (folder / file).write_text(page, encoding="utf-8")
