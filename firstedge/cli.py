"""The ``firstedge`` command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from firstedge._version import __version__
from firstedge.cli_answer import embed, info, recommend, similar
from firstedge.cli_build import categorize, import_, init, train, update
from firstedge.cli_coldstart import coldstart
from firstedge.cli_doctor import doctor
from firstedge.cli_loadtest import loadtest
from firstedge.cli_publish import publish, queries, unpublish
from firstedge.cli_serve import serve
from firstedge.cli_tune import tune
from firstedge.console import complain
from firstedge.graph.errors import FirstedgeError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in (
    ("init", init),
    ("import", import_),
    ("categorize", categorize),
    ("train", train),
    ("update", update),
    ("tune", tune),
    ("coldstart", coldstart),
    ("recommend", recommend),
    ("similar", similar),
    ("embed", embed),
    ("serve", serve),
    ("loadtest", loadtest),
    ("publish", publish),
    ("unpublish", unpublish),
    ("queries", queries),
    ("info", info),
    ("doctor", doctor),
):
    app.command(name)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def firstedge(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Recommendations from the first edge on.

    Options come from flags, then from the environment (FIRSTEDGE_STORE, ...), then from the
    settings of the Schema file. An error exits with 1, wrong usage with 2.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments; those of the process if None.

    Raises:
        SystemExit: Always, with the exit code.
    """
    given = list(sys.argv[1:] if args is None else args)
    # torch_geometric's own affair, and nothing that whoever runs a command can change.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    try:
        app(given, prog_name="firstedge")
    except FirstedgeError as error:
        complain(error, "--json" in given)
        sys.exit(1)
