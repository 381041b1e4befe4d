"""Transports to outside parties: acquirers and Directory Servers. Errors say whether a message may have arrived."""
