"""Who read what: readings of documents, put on record behind the answers."""
