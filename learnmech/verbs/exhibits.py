"""The pages of exhibits, as `learnmech list gallery NAME` gives them."""

from learnmech.errors import nearest, refused
from learnmech.gallery import pages
from learnmech.language import catalog


def exhibit(name: str) -> dict:
    """One exhibit: what it shows and claims, its knobs, its experiment as text and in Python,
    what it takes."""
    if name not in catalog.exhibits():
        raise refused("list gallery", "an exhibit", repr(name), nearest(name, catalog.exhibits()))
    return pages.described(name)
