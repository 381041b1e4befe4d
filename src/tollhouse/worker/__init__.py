"""The loops: number and deliver events, resolve unknown outcomes, sweep what has run out."""
