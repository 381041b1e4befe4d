"""Read payments: responses, the feed and public names."""
