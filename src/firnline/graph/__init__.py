"""Question to answer: 1 guard, 2 schema, 3 plan, 4 loader, 5 mask, 6 respond."""
