"""The last step before PostgreSQL: this program runs in the child process, prepares it, and executes the given command.

It runs by path with a bare interpreter, and only it calls its `main`: code between fork and exec could deadlock in a
process with threads, a separate program cannot. It must import nothing of Tollhouse and little of the standard library,
because it is part of every start (about 15 ms).

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
#: Capabilities survive the change of user, and `access(2)` respects those of a user other than root.
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
HIGHEST_CAPABILITY = 63
EXIT_CODE = 70


def main(arguments: list[str]) -> None:
    """Change the user, end with the parent, check the paths, and execute the command."""
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
    """Drop root permanently."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def must_pass(uid: int, gid: int, paths: list[str]) -> bool:
    """Return whether a user may not enter a directory on these paths. The check runs in a separate process."""
    child = os.fork()
    if child == 0:
        become(uid, gid)
        os._exit(int(any(find_closed(path) for path in paths)))
    return os.waitpid(child, 0)[1] != 0


def become_and_pass(uid: int, gid: int) -> None:
    """Drop root, but keep the capability to pass through directories of other users, if the kernel permits it.

    The server then runs in a directory that only root may enter, such as a container's /root, without changed modes.
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
    """Set the effective, permitted and inheritable capabilities. Return whether the kernel permitted it."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    lower_and_upper = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).capset(header, lower_and_upper) == 0)


def set_process(option: int, *values: int) -> bool:
    """Set an attribute of this process. Return whether the kernel permitted it."""
    given = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, *given) == 0)


def end_with_parent(parent: int) -> None:
    """Request a fast shutdown when the parent dies, also by SIGKILL. Call this after `become`, which would undo it."""
    if sys.platform == "linux":
        set_process(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(EXIT_CODE)  # it died before the request


def check_reachable(path: str) -> None:
    """Name the first directory on the path that we may not enter, which PostgreSQL's own message would not."""
    if closed := find_closed(path):
        sys.stderr.write(explain(closed))
        sys.exit(EXIT_CODE)


def find_closed(path: str) -> str | None:
    """Return the first directory on a path that this process may not enter."""
    ways = [path]
    while (parent := os.path.dirname(ways[-1])) != ways[-1]:  # noqa: PTH120 - pathlib would double the time of this program
        ways.append(parent)
    return next((way for way in reversed(ways) if not os.access(way, os.X_OK)), None)


def explain(directory: str) -> str:
    """Return a message about the directory, the user who may not enter it, and the remedy."""
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
