"""What reading JSON of somebody else may raise: not only errors of form.

Text that is no UTF-8 and brackets nested without end raise errors of their own kinds, and an answer that cannot be read
must never be told as anything but that.
"""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
