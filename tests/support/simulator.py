"""What tests of the simulator share."""

from __future__ import annotations

#: What the simulator asks of the gateway.
SECRET = "the secret of the simulator"
