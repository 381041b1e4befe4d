"""Capture, void and refund: operations on an earlier transaction."""
