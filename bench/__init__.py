"""Measuring Tollhouse on one machine in one run: `make bench`. How to read it: docs/reference/benchmarks.md."""
