"""A group of commands whose summaries are whole, and that knows the former names of its commands."""

import click

RENAMED = {"transcriber": "asr"}


class Commands(click.Group):
    """A group of commands: its help has the first paragraph of each command's help, not cut off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, _summary(command)) for name, command in commands if command is not None and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name. Raises UsageError for a former name."""
        if new := RENAMED.get(args[0]):
            ctx.fail(f"{args[0]!r} is called {new!r} now: {ctx.command_path} {new}")
        return super().resolve_command(ctx, args)


def _summary(command: click.Command) -> str:
    """First paragraph of the help of a command, on one line."""
    return " ".join((command.help or "").partition("\n\n")[0].split())
