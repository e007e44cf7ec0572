"""Tokenise: from the selected clips to mel tokens, for those that have none yet."""

from typing import Any

from pipeline import tokenise
from pipeline.build import Build, token_files
from pipeline.publish.ledger import read_tokens
from pipeline.records import TOKEN_ARTIFACT
from pipeline.stages.parts import Clips, complete
from pipeline.stages.work import Outcome, Work


def tokenise_clips(work: Work, build: Build) -> Outcome:
    """Encode the selected clips that have no mel tokens yet, from the very samples that are stored."""
    known = read_tokens(work.content_id, build, ["clip_id"])["clip_id"].to_pylist()
    folder = build.tokens(work.content_id)
    return complete(work, build, folder, known=known, make=_tokens_of, schema=TOKEN_ARTIFACT)


def _tokens_of(clips: Clips, build: Build) -> list[dict[str, Any]]:
    tokenizer = tokenise.load(*token_files(build.config.tokenise), build.device)
    found = tokenizer.encode_clips(list(clips.values()), build.config.audio.sample_rate)
    return [
        {"clip_id": clip_id, "mel_tokens": codes, "mel_profile": tokenizer.profile, "error_nats": error}
        for clip_id, (codes, error) in zip(clips, found, strict=True)
    ]
