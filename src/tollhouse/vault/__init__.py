"""Card numbers at rest: sealed, bound to their row, opened in one place."""
