"""The last step before PostgreSQL: runs in the child process, sets it up, and becomes the command it was given.

Run by path with a bare interpreter, its `main` called by nobody else: code between fork and exec could deadlock in a
process with threads, a small program of its own cannot. It must not import anything of ours, and little of the standard
library, for it is part of every start (about 15 ms).

Usage: embedded_child.py PARENT_PID UID:GID|- PATH... -- COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_CODE = 70


def main(arguments: list[str]) -> None:
    """Take the identity asked for, tie our life to the parent's, check the paths, and run the command."""
    parent, identity, *rest = arguments
    separator = rest.index("--")
    paths, command = rest[:separator], rest[separator + 1 :]
    if identity != "-":
        become(*map(int, identity.split(":")))
    end_with_parent(int(parent))
    for path in paths:
        check_reachable(path)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def become(uid: int, gid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with_parent(parent: int) -> None:
    """Ask for a fast shutdown when the parent dies, also by SIGKILL. After `become`, which would undo it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(EXIT_CODE)  # it died before we could ask


def check_reachable(path: str) -> None:
    """Name the first directory on the way that we may not enter; PostgreSQL's own message would not."""
    ways = [path]
    while (parent := os.path.dirname(ways[-1])) != ways[-1]:  # noqa: PTH120 - pathlib would double the time of this program
        ways.append(parent)
    for way in reversed(ways):
        if not os.access(way, os.X_OK):
            sys.stderr.write(explain(way))
            sys.exit(EXIT_CODE)


def explain(directory: str) -> str:
    """Say who may not enter which directory, and what can be done about it."""
    import pwd  # noqa: PLC0415 - only needed on this path

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return (
        f"The user {name} may not enter {directory}. PostgreSQL refuses to run as root, so it runs as {name}: choose "
        f"a data directory and an installation that {name} can reach, run as another user, or allow it with: "
        f"chmod o+x {directory}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
