"""Entry point of the command line: run one command, print errors, exit with its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fasthep_parsl.cli.app import app
from fasthep_parsl.errors import ConfigError, CredentialError, FastHepError
from fasthep_parsl.version import __version__


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Print errors without a traceback.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments after the program name; default: those of this process.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="fasthep-parsl")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # click exits with 1 if the reader of --help has gone
            return 0
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except Exception as error:  # noqa: BLE001 - the last handler before the user
        return _print_error(error)
    return 0


def _print_error(error: Exception) -> int:
    """Print what went wrong and return the exit code."""
    from fasthep_parsl.cli.console import Screen

    screen = Screen(stderr=True)
    if isinstance(error, ConfigError | CredentialError):
        from fasthep_parsl.cli.problems import render

        render(error.problems, screen)
        return error.exit_code
    expected = isinstance(error, FastHepError | OSError)
    screen.print(f"error: {error}" if expected else _bug_report(error), soft_wrap=True)
    return error.exit_code if isinstance(error, FastHepError) else 1


def _bug_report(error: Exception) -> str:
    """Write the traceback of an unexpected error to a file and return a message that names the file."""
    import tempfile
    import traceback

    text = f"fasthep-parsl {__version__}, Python {sys.version}\n{sys.argv}\n\n" + "".join(
        traceback.format_exception(error)
    )
    with tempfile.NamedTemporaryFile("wb", prefix="fasthep-parsl-bug-", suffix=".txt", delete=False) as file:
        file.write(text.encode(errors="backslashreplace"))
    first = str(error).strip().split("\n")[0][:200]
    return (
        f"error: {type(error).__name__}: {first}\n"
        f"This is a bug in fasthep-parsl. Please send {file.name} with your workflow to\n"
        "https://github.com/FAST-HEP/fasthep-parsl/issues"
    )


def main() -> None:
    """Run the command line and exit."""
    from fasthep_parsl.cli.process import exit_process, prepare_streams, remove_current_folder

    remove_current_folder()
    prepare_streams()
    exit_process(invoke())
