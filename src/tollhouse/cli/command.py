"""What the commands of the command line share: settings from arguments, running, and saying why something failed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console

from tollhouse.composition.logs import configure_logs
from tollhouse.composition.settings import Settings
from tollhouse.composition.variables import find_unknown
from tollhouse.kernel.errors import DatabaseUnavailable, TollhouseError

#: What holds where nothing is set; shown in the help.
DEFAULTS = Settings.model_construct()

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the database, the keys and demo.json are.", show_default=str(DEFAULTS.data_dir)),
]


def read_settings(**given: Any) -> Settings:
    """Read the settings. A variable that does not exist is refused: it was meant to change something."""
    unknown = find_unknown(os.environ, Settings.model_fields)
    for variable, meant in unknown.items():
        complain(f"{variable} is not a setting.{f' Did you mean {meant}?' if meant else ''}")
    if unknown:
        raise typer.Exit(2)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            complain(_describe_fault(fault, given))
        raise typer.Exit(2) from None


def _describe_fault(fault: Any, given: Mapping[str, Any]) -> str:
    """Name the option or the variable, and what is wrong with it; never what it says."""
    text = fault["msg"].removeprefix("Value error, ")
    setting = str(fault["loc"][0]) if fault["loc"] else ""
    is_option = given.get(setting) is not None
    name = f"--{setting.replace('_', '-')}" if is_option else f"TOLLHOUSE_{setting.upper()}" if setting else ""
    return f"{name}: {text[:1].lower()}{text[1:]}." if name else f"{text}."


def run(process: Coroutine[Any, Any, Any], settings: Settings) -> Any:
    """Run a process to its end; what keeps it from running is a sentence, not a traceback."""
    configure_logs(form=settings.log_format, level=settings.log_level)
    try:
        return uvloop.run(process)
    except DatabaseUnavailable as error:
        # Its own words are for clients of the API.
        cause = error.__cause__
        why = describe_os_error(cause) if isinstance(cause, OSError) else str(cause or "")
        complain(f"The database cannot be reached: {why or 'it did not answer in time.'}")
        raise typer.Exit(1) from None
    except TollhouseError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        complain(describe_os_error(error))
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        return None
    except Exception:  # noqa: BLE001 - the last one who can tell
        # The way to it, and none of its values: Python's own traceback shows them.
        structlog.get_logger().exception("process.crashed")
        complain("Something is wrong with the program itself; the line before says where.")
        raise typer.Exit(1) from None


def describe_os_error(error: OSError) -> str:
    """Say what the system refused, and of which file, without its number."""
    said = error.strerror or type(error).__name__
    return f"{error.filename}: {said}." if error.filename else f"{said}."


def complain(text: str) -> None:
    """Print what is wrong to the standard error."""
    Console(stderr=True).print(f"tollhouse: {text}", style="red", highlight=False, soft_wrap=True)
