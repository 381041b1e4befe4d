"""Verification of phones: six-digit codes, sent through a channel and checked once."""
