"""The demo question from the cache against the same question by live calls."""
