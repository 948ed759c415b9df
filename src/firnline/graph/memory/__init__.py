"""What columns in memory answer: levels, views, compiled operations, kept answers."""
