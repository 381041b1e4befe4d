"""Proving that a phone is at hand: six-digit codes, sent by a channel, checked once."""
