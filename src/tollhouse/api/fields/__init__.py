"""Fields and objects that several requests share."""
