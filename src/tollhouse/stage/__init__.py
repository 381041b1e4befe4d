"""Services that exist only in stage: the virtual clock, challenges without a browser, the inbox, the demo merchant."""
