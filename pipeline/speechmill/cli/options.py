"""Arguments and options that several commands share."""

import click

config_argument = click.argument("config_file", metavar="[CONFIG.yaml]", required=False)
corpus_argument = click.argument("corpus", metavar="DIR")
recipe_argument = click.argument("recipe", metavar="RECIPE.yaml", required=False)
beam_argument = click.argument("beam_options", nargs=-1, metavar="[-- BEAM OPTIONS]", type=click.UNPROCESSED)
input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="X",
    help="File, folder, manifest, feed, OPML, librivox:, archive: or ytdlp: address. May be repeated.",
)
output_option = click.option("--output", metavar="DIR", help="Folder of the corpus.  [default: corpus]")
new_folder_option = click.option("--output", metavar="DIR", required=True, help="Folder to write.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a config key, e.g. thresholds.snr_db=20."
)
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where models run."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress lines.")
shard_option = click.option(
    "--shard", metavar="I/N", help="Only the recordings of one of N equal shards, for N machines; publishes nothing."
)
until_option = click.option("--until", metavar="STAGE", help="Only the stages up to this one; publishes nothing.")
