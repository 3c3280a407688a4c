"""Parquet: a table of typed columns, read by pyarrow where that is installed."""

import io

from learnmech.data.columns import Table
from learnmech.errors import refused


def parquet(who: str, name: str, raw: bytes) -> Table:
    """The columns of a Parquet file, by name. Refuses a file cut short, and says which extra reads
    it where pyarrow is missing."""
    try:
        from pyarrow import lib
        from pyarrow import parquet as reader
    except ModuleNotFoundError:
        raise refused(
            who,
            "pyarrow, to read Parquet",
            f"none installed for {name}",
            "pip install 'learnmech[tables]', or save it as csv",
        ) from None
    try:
        table = reader.read_table(io.BytesIO(raw))
    except (lib.ArrowException, OSError, ValueError) as error:
        raise refused(
            who, "a Parquet file that is whole", f"{name}: {_first(error)}", "Download it again"
        ) from None
    if not table.num_rows or not table.num_columns:
        raise refused(who, "at least one row", f"none in {name}", "Give a table of samples")
    columns = [column.to_pylist() for column in table.columns]
    names = tuple(table.column_names)
    said = (f"Parquet: {', '.join(names[:8])}" + (", ..." if len(names) > 8 else ""),)
    return Table(name, names, range(1, table.num_rows + 1), None, columns, said=said)


def _first(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__
