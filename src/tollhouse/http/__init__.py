"""The HTTP layer: limits of the server, requests, routes, responses, errors, documents, health and metrics."""
