"""Refuses former names of commands with a message that has the new name."""

import click

RENAMED = {"transcriber": "asr"}


class RenamedCommands(click.Group):
    """A group of commands, some of which were renamed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name. Raises UsageError for a former name."""
        if new := RENAMED.get(args[0]):
            ctx.fail(f"{args[0]!r} is called {new!r} now: {ctx.command_path} {new}")
        return super().resolve_command(ctx, args)
