"""Trains the shipped text tokenizer on Jane Austen's six novels, from Debian's package r-cran-janeaustenr.

python -m speechmill.tokens.weights.novels          needs apt-get, dpkg-deb and R (Debian: r-base-core)
"""

import subprocess
import tempfile
from pathlib import Path

from speechmill.text.normal_form import normalise
from speechmill.tokens import TEXT_TOKENS
from speechmill.tokens.text import train

PACKAGE = "r-cran-janeaustenr"
NOVELS = ("prideprejudice", "emma", "mansfieldpark", "northangerabbey", "persuasion", "sensesensibility")
EXPORT = 'lazyLoad("{data}"); for (n in c({names})) writeLines(enc2utf8(get(n)), paste0(n, ".txt"), useBytes = TRUE)'


def main() -> None:
    """Fetch the novels, bring their paragraphs into normal form, train, and write the tokenizer in its place."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", next(Path(folder).glob("*.deb")), "."], cwd=folder, check=True)
        data = next(Path(folder).rglob("data/Rdata.rdb")).with_suffix("")
        names = ", ".join(f'"{name}"' for name in NOVELS)
        subprocess.run(["Rscript", "-e", EXPORT.format(data=data, names=names)], cwd=folder, check=True)
        novels = [Path(folder, f"{name}.txt").read_text(encoding="utf-8") for name in NOVELS]
    paragraphs = (paragraph.replace("_", "") for novel in novels for paragraph in novel.split("\n\n"))
    train((text for text in map(normalise, paragraphs) if text), TEXT_TOKENS)


if __name__ == "__main__":
    main()
