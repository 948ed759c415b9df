"""The builder's policy in every scan: row conditions, masks, age limits, and its own tests."""
