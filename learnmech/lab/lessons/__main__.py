"""The pages of the lessons, from their texts: `python -m learnmech.lab.lessons docs/lessons`; with
`--figures` every step is run and drawn too."""

import sys
from pathlib import Path

from learnmech.lab.lessons.pages import pages
from learnmech.lab.lessons.reading import lessons

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    pictured = "--figures" in sys.argv
    for file, page in pages(pictured).items():
        (folder / file).write_text(page, encoding="utf-8")
    if pictured:
        from learnmech.lab.lessons import pictures

        for lesson in lessons().values():
            pictures.write(lesson, folder)
