"""Alpine: the tests' rights table under a provider's name."""

from tests.graph.rights import RightsTable


class Alpine(RightsTable):
    """Describes nothing but rights: its rows are written straight into the cache."""

    provider = "alpine"
