"""`emulator completion`."""

import click

FILES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/emulator.fish"}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(FILES)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in your shell.

    \b
    bash   eval "$(emulator completion bash)"       in ~/.bashrc
    zsh    eval "$(emulator completion zsh)"        in ~/.zshrc, after compinit
    fish   emulator completion fish | source        in ~/.config/fish/config.fish"""
    from click.shell_completion import BashComplete, get_completion_class

    class AnyBash(BashComplete):
        """Doesn't ask bash for its version, since it may not be installed."""

        @staticmethod
        def _check_version() -> None:
            pass

    found = AnyBash if shell == "bash" else get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "emulator", "_EMULATOR_COMPLETE").source())
