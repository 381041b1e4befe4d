"""The merchants' JSON API. Speaks HTTP; holds no rules."""
