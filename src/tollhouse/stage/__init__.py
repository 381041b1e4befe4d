"""What exists only in stage: answering challenges without a browser, the inbox of callbacks."""
