"""The vault: card numbers sealed at rest, each bound to its row."""
