"""What an acquirer is to the gateway, and the connectors that speak to one."""
