"""The group of all commands, and how they end.

Exit codes: 0 done; 1 an error of metanas itself, or suggestions of lint --strict; 2 input that cannot be used;
3 a search that found no network; 130 interrupted, to be resumed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from metanas._version import __version__
from metanas.cli._errors import show_error
from metanas.errors import OF_FILES, MetanasError, file_error

EXIT_NO_NETWORK = 3
EXIT_INTERRUPTED = 130

_COMMANDS = {
    "init": ("metanas.cli._init", "Write a space and a run file to start from."),
    "search": ("metanas.cli._search", "Search for a network, as a run file says."),
    "resume": ("metanas.cli._search", "Go on with a search that was stopped or killed."),
    "status": ("metanas.cli._status", "Say where a search stands."),
    "report": ("metanas.cli._status", "Write a search's report anew."),
    "export": ("metanas.cli._export", "Copy the network that a search found, or write it as ONNX."),
    "predict": ("metanas.cli._predict", "Predict for new samples with the network that a search found."),
    "evaluate": ("metanas.cli._evaluate", "Score networks by zero-cost proxies, without training them."),
    "bench": ("metanas.cli._bench", "Compare strategies on tables of results."),
    "predictor": ("metanas.cli._predictor", "Learn from earlier searches which networks are promising."),
    "space": ("metanas.cli._space", "Look at search spaces."),
    "architecture": ("metanas.cli._architecture", "Look at one network."),
}


class _Commands(click.Group):
    """Commands by name, imported on demand; their help lines stand above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[name][0]), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            remedy = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{remedy}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 an error of metanas itself or suggestions of 'space lint --strict', 2 input that cannot be "
    "used, 3 no network found, 130 interrupted (resume with 'metanas resume').",
)
@click.version_option(__version__, prog_name="metanas")
def cli() -> None:
    """Find a neural network for your data: a search space in YAML, a search, a trained network back.

    \b
    Start with:  metanas init my_search --data digits
                 metanas search my_search/run.yaml
    """


def main() -> NoReturn:
    """Run a command and exit with its code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _interrupted()
    except KeyboardInterrupt:
        code = _interrupted()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except MetanasError as error:
        code = show_error(error)
    except BrokenPipeError:
        # The reader of our output left, as `head` does.
        sys.stderr.close()
        code = 1
    except OSError as error:
        if error.errno not in OF_FILES:
            raise
        code = show_error(file_error(error))
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> int:
    click.echo("Interrupted.", err=True)
    return EXIT_INTERRUPTED
