"""Payments: create and get, capture, void and refund, and their timelines."""
