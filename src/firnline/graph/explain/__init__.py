"""How an operation is answered, and why a person may read what they may."""
