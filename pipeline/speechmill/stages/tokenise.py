"""Tokenise: from the selected clips to mel tokens, for those that have none yet, of the samples that are stored."""

from collections.abc import Iterable
from typing import Any

from speechmill import tokens
from speechmill.core.build import Build, token_files
from speechmill.core.records import TOKEN_ARTIFACT
from speechmill.publish.ledger import read_tokens
from speechmill.stages.parts import Clips, Making


def _known(content_id: str, build: Build) -> Iterable[str]:
    clip_ids: list[str] = read_tokens(content_id, build, ["clip_id"])["clip_id"].to_pylist()
    return clip_ids


def _tokens_of(clips: Clips, build: Build) -> list[dict[str, Any]]:
    tokenizer = tokens.load(*token_files(build.config.tokenise), build.device)
    found = tokenizer.encode_clips(list(clips.values()), build.config.audio.sample_rate)
    return [
        {"clip_id": clip_id, "mel_tokens": codes, "mel_profile": tokenizer.profile, "error_nats": error}
        for clip_id, (codes, error) in zip(clips, found, strict=True)
    ]


TOKENS = Making(known=_known, folder=Build.tokens, make=_tokens_of, schema=TOKEN_ARTIFACT)
