"""The scripts of the corpus, by their subjects."""
