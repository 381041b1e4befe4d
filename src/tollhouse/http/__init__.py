"""HTTP without a framework: the bounds of the server, the headers of every response, and the decoding of bodies."""
