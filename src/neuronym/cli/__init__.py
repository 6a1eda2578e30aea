"""The command line: parse, call, print. Importing this package imports no torch."""

from __future__ import annotations

import contextlib
import os
import site
import sys
import warnings
from typing import Any


def main() -> None:
    """Entry point of the `neuronym` command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show ✓ shows a question mark
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:  # -W and PYTHONWARNINGS ask for them as they are
        warnings.showwarning = _note  # type: ignore[assignment]  # it needs three of the arguments
    from neuronym._core.errors import NeuronymError
    from neuronym.cli.app import app

    try:
        code = app(prog_name="neuronym", standalone_mode=False)
        if code == 130:  # newer versions of typer answer Ctrl-C themselves
            _stopped()
        _leave(code if isinstance(code, int) else 0)
    except NeuronymError as error:
        _say(f"error: {error}")
        _leave(error.exit_code)
    except KeyboardInterrupt:
        _stopped()
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PermissionError as error:
        what = f"{error.filename}" if error.filename is not None else "a file"
        _say(f"error: Cannot read or write {what}: {error.strerror}. See who may.")
        _leave(1)
    except Exception as error:
        _click_error(error)


def _say(text: str) -> None:
    from neuronym._core.terminal import printable

    print(printable(text, lines=True), file=sys.stderr, flush=True)


def _note(message: Warning | str, category: type[Warning], filename: str, *_: object) -> None:
    """A warning as one line, without code; those of libraries are not for who uses a command."""
    ours = os.path.dirname(os.path.dirname(__file__))
    places = {
        os.path.realpath(path) for path in (*site.getsitepackages(), os.path.dirname(os.__file__))
    }
    path = os.path.realpath(filename)
    if path.startswith(os.path.realpath(ours) + os.sep) or not any(
        path.startswith(place + os.sep) for place in places
    ):
        _say(f"note: {message}")


def _leave(code: int) -> None:
    """Exit with a code.

    With pyarrow's threads in the process the interpreter's own way out aborts now and then (exit
    code 134, "terminate called without an active exception"), which would hide the code.
    """
    if "pyarrow" in sys.modules:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _stopped() -> None:
    _say("\nStopped. What was finished is kept: run the same command again to go on.")
    sys.stderr.flush()
    os._exit(130)  # at once: decoding threads are not waited for


def _click_error(error: Exception) -> None:
    """Wrong options in one line; everything else is a bug and keeps its traceback."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Abort" in kinds:
        _stopped()
    if "Exit" in kinds:
        sys.exit(getattr(error, "exit_code", 0))
    if "ClickException" not in kinds:
        raise error
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "neuronym"
    click: Any = error
    message = click.format_message()
    if message:
        _say(f"error: {message}\nSee `{command} --help`.")
    sys.exit(getattr(error, "exit_code", 2))
