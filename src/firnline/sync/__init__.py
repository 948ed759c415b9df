"""Provider to cache: 1 schedule, 2 extract, 3 normalize, 4 store, 5 checkpoint."""
