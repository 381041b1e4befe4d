"""Helpers that all commands share: reading settings, running a process, and printing errors."""

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

#: Default settings, shown in the help.
DEFAULTS = Settings.model_construct()

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the database, the keys and demo.json are.", show_default=str(DEFAULTS.data_dir)),
]


def read_settings(**given: Any) -> Settings:
    """Read the settings from options and variables. Exit with status 2 for an invalid value or an unknown variable."""
    unknown = find_unknown(os.environ, Settings.model_fields)
    for variable, meant in unknown.items():
        print_error(f"{variable} is not a setting.{f' Did you mean {meant}?' if meant else ''}")
    if unknown:
        raise typer.Exit(2)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            print_error(_describe_fault(fault, given))
        raise typer.Exit(2) from None


def _describe_fault(fault: Any, given: Mapping[str, Any]) -> str:
    """Name the option or the variable and its fault, without quoting its value."""
    text = fault["msg"].removeprefix("Value error, ")
    setting = str(fault["loc"][0]) if fault["loc"] else ""
    is_option = given.get(setting) is not None
    name = f"--{setting.replace('_', '-')}" if is_option else f"TOLLHOUSE_{setting.upper()}" if setting else ""
    return f"{name}: {text[:1].lower()}{text[1:]}." if name else f"{text}."


def run(process: Coroutine[Any, Any, Any], settings: Settings) -> Any:
    """Run a process to its end. Print an expected error as a sentence and exit with status 1."""
    configure_logs(form=settings.log_format, level=settings.log_level)
    try:
        return uvloop.run(process)
    except DatabaseUnavailable as error:
        # The text of the error itself is for clients of the API.
        cause = error.__cause__
        why = describe_os_error(cause) if isinstance(cause, OSError) else str(cause or "")
        print_error(f"The database cannot be reached: {why or 'it did not respond in time.'}")
        raise typer.Exit(1) from None
    except TollhouseError as error:
        print_error(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        print_error(describe_os_error(error))
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        return None
    except Exception:  # noqa: BLE001 - the last handler
        # Python's own traceback would show values; ours shows only the frames.
        structlog.get_logger().exception("process.crashed")
        print_error("An internal error occurred. The line before names its place.")
        raise typer.Exit(1) from None


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system with its file, without its number."""
    text = error.strerror or type(error).__name__
    return f"{error.filename}: {text}." if error.filename else f"{text}."


def print_error(text: str) -> None:
    """Print an error message to the standard error."""
    Console(stderr=True).print(f"tollhouse: {text}", style="red", highlight=False, soft_wrap=True)
