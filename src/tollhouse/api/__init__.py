"""The merchants' JSON API: HTTP handlers and request models, without business rules."""
