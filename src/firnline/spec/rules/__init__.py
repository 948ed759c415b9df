"""What a single model cannot see: one module per part of the spec, one function per rule."""
