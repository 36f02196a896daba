"""The command line: one file per command, each of which parses, calls and prints.

Nothing heavy is imported here, nor at the top of a command's file, so that ``metseg --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from metseg import __version__
from metseg.cli import compare, doctor, evaluate, inspect, models, plan, predict, simulate, split, train
from metseg.errors import MetsegError, ResourceError

INTERRUPTED = 130

app = typer.Typer(
    name="metseg",
    help="Find and outline brain metastases and gliomas in MRI. **Research use only: not a medical device.**",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: In the order in which a newcomer needs them.
COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": simulate.simulate,
    "inspect": inspect.inspect,
    "split": split.split,
    "plan": plan.plan,
    "train": train.train,
    "compare": compare.compare,
    "predict": predict.predict,
    "evaluate": evaluate.evaluate,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"metseg {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Find and outline brain metastases and gliomas in MRI. **Research use only: not a medical device.**"""


def main() -> None:
    """Run the command line; end with the exit status that belongs to the outcome."""
    try:
        app()
    except MetsegError as error:
        _end(error)
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes an exit of its own of Ctrl-C, and says nothing.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        sys.stderr.write("metseg: interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`metseg ... | head`): nothing is left to say, and nobody to say it to.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        what = f"the system refused: {error.strerror or error}"
        _end(ResourceError(what, where=error.filename, cure="look at its permissions", code="resources.system"))


def _end(error: MetsegError) -> NoReturn:
    """End with an error: one line, or with --debug everything."""
    if "--debug" in sys.argv:
        raise error
    sys.stderr.write(f"metseg: {error.one_line()}\n")
    sys.exit(error.exit_status)
