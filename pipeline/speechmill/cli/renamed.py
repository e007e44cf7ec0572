"""Refuses a command by its former name, and says the new one."""

import click

RENAMED = {"transcriber": "asr"}


class RenamedCommands(click.Group):
    """A group some of whose commands had other names."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called. Raises UsageError for a former name."""
        if new := RENAMED.get(args[0]):
            ctx.fail(f"{args[0]!r} is called {new!r} now: {ctx.command_path} {new}")
        return super().resolve_command(ctx, args)
