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
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
#: Capabilities outlive the change of the user, and `access(2)` honours those of a user who is not root.
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
HIGHEST_CAPABILITY = 63
EXIT_CODE = 70


def main(arguments: list[str]) -> None:
    """Take the identity asked for, tie our life to the parent's, check the paths, and run the command."""
    parent, identity, *rest = arguments
    separator = rest.index("--")
    paths, command = rest[:separator], rest[separator + 1 :]
    if identity != "-":
        uid, gid = map(int, identity.split(":"))
        become_and_pass(uid, gid) if must_pass(uid, gid, paths) else become(uid, gid)
    end_with_parent(int(parent))
    for path in paths:
        check_reachable(path)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def become(uid: int, gid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def must_pass(uid: int, gid: int, paths: list[str]) -> bool:
    """Tell whether a user may not enter a directory on the way to these paths: try it in a process that ends then."""
    child = os.fork()
    if child == 0:
        become(uid, gid)
        os._exit(int(any(find_closed(path) for path in paths)))
    return os.waitpid(child, 0)[1] != 0


def become_and_pass(uid: int, gid: int) -> None:
    """Give up root, but keep the one capability to pass through directories of others, where the kernel allows it.

    So the server runs in a directory that only root may enter, as a container's /root, without any mode being changed.
    """
    if sys.platform != "linux" or not set_process(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP):
        become(uid, gid)
        return
    for capability in range(HIGHEST_CAPABILITY + 1):
        if capability != CAP_DAC_OVERRIDE:
            set_process(PR_CAPBSET_DROP, capability)
    become(uid, gid)
    if not set_capabilities(1 << CAP_DAC_OVERRIDE) or not set_process(
        PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE
    ):
        set_capabilities(0)


def set_capabilities(mask: int) -> bool:
    """Set the effective, permitted and inheritable capabilities; tell whether the kernel allowed it."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    lower_and_upper = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).capset(header, lower_and_upper) == 0)


def set_process(option: int, *values: int) -> bool:
    """Set an attribute of this process; tell whether the kernel allowed it."""
    given = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, *given) == 0)


def end_with_parent(parent: int) -> None:
    """Ask for a fast shutdown when the parent dies, also by SIGKILL. After `become`, which would undo it."""
    if sys.platform == "linux":
        set_process(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(EXIT_CODE)  # it died before we could ask


def check_reachable(path: str) -> None:
    """Name the first directory on the way that we may not enter; PostgreSQL's own message would not."""
    if closed := find_closed(path):
        sys.stderr.write(explain(closed))
        sys.exit(EXIT_CODE)


def find_closed(path: str) -> str | None:
    """Return the first directory on the way to a path that this process may not enter."""
    ways = [path]
    while (parent := os.path.dirname(ways[-1])) != ways[-1]:  # noqa: PTH120 - pathlib would double the time of this program
        ways.append(parent)
    return next((way for way in reversed(ways) if not os.access(way, os.X_OK)), None)


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
