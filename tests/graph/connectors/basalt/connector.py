"""Basalt: the tests' rights table under a provider's name."""

from tests.graph.rights import RightsTable


class Basalt(RightsTable):
    """Describes nothing but rights: its rows are written straight into the cache."""

    provider = "basalt"
