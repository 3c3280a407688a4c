"""Display: tables as values, the same in a terminal, in a notebook and on a page."""
