"""The consumers of merchants."""
