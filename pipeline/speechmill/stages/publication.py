"""What is made when a corpus is published, since it follows from all clips that are kept, or from a row alone."""

from typing import Any

from speechmill import tokens
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.store import Store
from speechmill.stages.base import Stage
from speechmill.stages.work import Outcome


class AtPublication(Stage):
    """A stage that is no step of the graph: `publish` does it."""

    is_in_graph = False

    def process(self, element: Any, build: Build) -> Outcome:
        """Not called."""
        raise NotImplementedError(f"{self.name} is made when a corpus is published")


class Speakers(AtPublication):
    """Who speaks in each kept clip."""

    name = "speakers"
    after = ("embed",)

    def settings(self, config: RunConfig) -> Any:
        """How sure two voices must be one."""
        return None if config.speakers.model is None else (config.speakers.threshold, config.speakers.slope)


class Text(AtPublication):
    """Normal form and text tokens."""

    name = "text"
    version = 2  # text/, tokens/text.py

    def settings(self, config: RunConfig) -> Any:
        """Nothing but the tokenizer decides."""
        return None if config.asr.model is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The text tokenizer."""
        name = config.tokenise.text_tokenizer
        return (model_file("tokenise.text_tokenizer", name, tokens.text_tokenizer_file(config.tokenise)),)
