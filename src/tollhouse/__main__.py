"""`tollhouse`, and `python -m tollhouse`."""

from __future__ import annotations

import gc

# Importing only adds, 200,000 objects that stay. The collector would look through them a dozen times, a third of a
# start; so it rests meanwhile, and leaves them alone afterwards.
gc.disable()
from tollhouse.cli.main import main  # noqa: E402 - the line above is for this one

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
