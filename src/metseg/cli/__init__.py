"""The command line: one file per command. Each parses its options, calls the library and prints the result.

Heavy modules are imported inside the commands, never at the top of a file, so that ``metseg --help`` is fast.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from metseg.cli import (
    compare,
    corrections,
    deidentify,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    extract_brain,
    figure,
    follow,
    grade,
    inspect,
    models,
    pacs,
    plan,
    predict,
    recipes,
    report,
    serve,
    simulate,
    simulate_heads,
    simulate_lesions,
    split,
    submit,
    train,
    tune,
    ui,
    up,
    worker,
)
from metseg.errors import MetsegError, ResourceError, UsageError
from metseg.runtime.monai_import_filter import import_lean
from metseg.version import __version__

INTERRUPTED = 130

#: Characters of a line of help on terminals that are wider.
HELP_WIDTH = 100

#: The exception that Typer raises for a wrong command line. Typer has moved it between modules; its subclass is public.
WRONG_COMMAND_LINE: Any = typer.BadParameter.__base__


def _first_sentence(command: Callable[..., object] | None) -> str:
    """Return the first sentence of a command's docstring, which its list of commands shows."""
    paragraph = (getattr(command, "__doc__", None) or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.partition(". ")[0].rstrip(".").split()) + "."


app = typer.Typer(
    name="metseg",
    no_args_is_help=True,
    add_completion=False,
    # Rich's tables leave 25 of 80 characters to the description of an option, and cut long names of options off.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
)

#: In the order in which a newcomer needs them.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "simulate": simulate.simulate,
    "simulate-heads": simulate_heads.simulate_heads,
    "simulate-lesions": simulate_lesions.simulate_lesions,
    "inspect": inspect.inspect,
    "split": split.split,
    "plan": plan.plan,
    "train": train.train,
    "tune": tune.tune,
    "compare": compare.compare,
    "predict": predict.predict,
    "explain": explain.explain,
    "extract-brain": extract_brain.extract_brain,
    "evaluate": evaluate.evaluate,
    "report": report.report,
    "export": export.export,
    "deidentify": deidentify.deidentify,
    "follow": follow.follow,
    "up": up.up,
    "worker": worker.worker,
    "submit": submit.submit,
    "ui": ui.ui,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(figure.app, name="figure")
app.add_typer(models.app, name="models")
app.add_typer(recipes.app, name="recipes")
app.add_typer(serve.app, name="serve")
app.add_typer(corrections.app, name="corrections")
app.add_typer(grade.app, name="grade")
app.add_typer(pacs.app, name="pacs")
for group in (app, figure.app, models.app, recipes.app, serve.app, serve.keys, corrections.app, grade.app, pacs.app):
    for listed in group.registered_commands:
        # By default, Typer cuts the summaries in a list of commands off at the width of the terminal.
        listed.short_help = _first_sentence(listed.callback)


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
    """Find and outline brain metastases and gliomas in MRI. Research use only: not a medical device."""


def main() -> None:
    """Run the command line and exit with the status of the outcome."""
    import_lean()
    # Pillow's warnings (sizes, odd tags) are either harmless, or raised as an error when the picture is read.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    debug = "--debug" in sys.argv  # accepted anywhere, also after a command's own options
    sys.argv[1:] = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        status = app(standalone_mode=False)
    except MetsegError as error:
        _end(error, debug)
    except WRONG_COMMAND_LINE as error:
        if not error.format_message():  # a group without a command: its help has been printed
            sys.exit(error.exit_code)
        _end(_usage_error(error), debug)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed the pipe (`metseg ... | head`): end quietly.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        what = f"operating system error: {error.strerror or error}"
        cure = "check the path and its permissions"
        _end(ResourceError(what, where=error.filename, cure=cure, code="resources.system"), debug)
    if status == INTERRUPTED:  # Typer turns Ctrl-C into a status without a message
        sys.stderr.write("metseg: interrupted\n")
    sys.exit(status)


def _usage_error(error: Any) -> UsageError:
    """Return Typer's error about a command line as a `UsageError`."""
    path = error.ctx.command_path if error.ctx else "metseg"
    command = path.partition("metseg")[2].strip()
    return UsageError(
        error.format_message().rstrip(" ."),
        where=command or None,
        cure=f"see metseg {command} --help" if command else "see metseg --help",
        code="usage.options",
    )


def _end(error: MetsegError, debug: bool) -> NoReturn:
    """Print an error in one line, with its traceback where --debug is given, and exit."""
    if debug:
        traceback.print_exception(error)
    error.cure = error.cure_among(_options_of(sys.argv[1:]))
    sys.stderr.write(f"metseg: {error.one_line()}\n")
    sys.exit(error.exit_status)


def _options_of(words: Sequence[str]) -> set[str]:
    """Return the options of the command that a command line names."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {"--help", "--debug", *own}  # which every command takes
