"""Responses of the API as pydantic models, and their rendering to bytes."""
