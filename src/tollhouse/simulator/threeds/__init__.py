"""The 3-D Secure side of the simulator: directory server, ACS and their messages."""
