"""The page of data: their card, with its figure."""

from learnmech.data.card import DataCard
from learnmech.report.frame import figure_of, page_of, safe, tables_of, untitled


def data_page(card: DataCard) -> str:
    """What a learner meets in the data, on one page."""
    first, *rest = card.tables_shown()
    figure = figure_of(untitled(card.figure()), f"{card.name}: spectra and samples")
    tables = tables_of(first._replace(title="The data"), *rest)
    return page_of(card.name, [f"<h1>{safe(card.name)}</h1>", figure, tables])
