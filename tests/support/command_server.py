"""Run commands of `tollhouse`, each in a fork of this process, which has imported the program.

The import takes a second of the processor, far longer than most commands. Each line of standard input is a request in
JSON: arguments, environment and timeout in seconds. Each line of the answer has the exit code and the output. The
program ends when its input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from typing import IO, Any

from tollhouse.cli.main import main


def serve() -> None:
    """Answer requests until the input ends. A fork runs its command and exits."""
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
                child = os.fork()
                if child == 0:
                    become_command(json.loads(line), output, errors)
                    main()
                    sys.exit()
                _, status = os.waitpid(child, 0)
                answer = {"code": os.waitstatus_to_exitcode(status), "output": read(output), "errors": read(errors)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def become_command(request: dict[str, Any], output: IO[bytes], errors: IO[bytes]) -> None:
    """Give this process the arguments, the environment and the files of a command, and an end if it hangs."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    sys.argv[1:] = request["arguments"]
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.alarm(request["timeout_seconds"])


def read(file: IO[bytes]) -> str:
    """Return everything that a command has written into a file."""
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    serve()
