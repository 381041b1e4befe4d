"""The exceptions that can be raised while parsing JSON from another party.

Invalid UTF-8 and endless nesting raise exceptions of their own. A response that cannot be parsed must not be reported
as anything else.
"""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
