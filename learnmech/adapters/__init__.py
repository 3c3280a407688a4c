"""Adapters: the names and conventions of other libraries, over what is here."""
