"""Well-known corpora, LJSpeech, LibriSpeech, Common Voice and others, as core/known_corpora.py reads them."""

import os
from collections.abc import Iterator

from speechmill.core.known_corpora import Layout, layout_of
from speechmill.corpus.check.items import Item, described, split_of


def recognises(folder: str, names: list[str]) -> bool:
    """Whether a corpus has an index of a known layout."""
    return any(True for _ in _indexes(folder, names))


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Rows of all indexes."""
    for name, layout in _indexes(folder, names):
        above = os.path.join(folder, os.path.dirname(name))
        for number, row in layout.rows(os.path.join(folder, name)):
            if isinstance(row, Exception):
                yield Item(id=f"{name} line {number}", split=split_of(name), fault=str(row))
            else:
                path = os.path.normpath(os.path.join(above, row["path"]))
                yield described(os.path.relpath(path, folder), row, split_of(name), path=path)


def _indexes(folder: str, names: list[str]) -> Iterator[tuple[str, Layout]]:
    for name in names:
        layout = layout_of(os.path.join(folder, name))
        if layout and (len(names) == 1 or layout.is_listed(os.path.basename(name))):
            yield name, layout
