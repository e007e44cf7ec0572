"""Uploads files to a dataset repository of the Hugging Face Hub, by its own client.

The client finds the token (HF_TOKEN, or what `hf auth login` stored) and the server (HF_ENDPOINT). It sends a large
folder in parts, and after a break goes on where it was.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from speechmill.core.config_errors import ConfigError
from speechmill.core.urls import without_secrets
from speechmill.core.version import __version__

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read by the client when it is imported
DATASET = "dataset"
FIX_TOKEN = "set HF_TOKEN to a token that may write there, or log in with: hf auth login"  # noqa: S105 - no password
MAX_MESSAGE_CHARS = 300


class HubError(Exception):
    """The Hub did not take an upload. The message says why; the same command goes on."""


def check_repository(name: str) -> None:
    """Raise ConfigError for what cannot be the name of a repository: `NAME` or `USER/NAME`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"--repo: {str(error).splitlines()[0]}; give USER/NAME") from None


def upload(folder: str, names: Sequence[str], repository: str, *, private: bool, replaced: Sequence[str]) -> str:
    """Upload files to a dataset repository, which is made if there is none.

    Args:
        folder: Path of a local folder.
        names: Files in it, relative to it. Nothing else is uploaded.
        repository: `USER/NAME`, or `NAME` for the owner of the token.
        private: Make a new repository private, and refuse one that is public.
        replaced: Patterns of files in the repository to delete unless they are among `names`.

    Returns:
        Address of the last commit.

    Raises:
        ConfigError: The name, the token or the visibility is wrong.
        HubError: The Hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi

    check_repository(repository)
    api = HfApi(library_name="speechmill", library_version=__version__)
    with _one_line_errors(repository):
        made = api.create_repo(repository, repo_type=DATASET, private=True if private else None, exist_ok=True)
        if private and not api.repo_info(made.repo_id, repo_type=DATASET).private:
            fix = "make it private in its settings, or name another one"
            raise ConfigError(f"--private: {made.repo_id} is a public repository; {fix}")
        commit = api.upload_folder(
            repo_id=made.repo_id,
            repo_type=DATASET,
            folder_path=folder,
            allow_patterns=[_literal(name) for name in names],
            delete_patterns=list(replaced),
            commit_message=f"Corpus made by speechmill {__version__}",
        )
    return str(commit.commit_url)


def _literal(name: str) -> str:
    """A glob pattern that matches a name only."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


@contextmanager
def _one_line_errors(repository: str) -> Iterator[None]:
    """Turn errors of the client into ConfigError or HubError with one line."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        yield
    except LocalTokenNotFoundError:
        raise ConfigError(f"push: the Hub wants a token; {FIX_TOKEN}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ConfigError(f"push: the Hub refuses {repository} ({status}); {FIX_TOKEN}") from None
        raise HubError(f"the Hub answered {_line(error)}; the same command goes on where it was") from None
    except ValueError as error:  # front matter that the Hub does not take
        raise ConfigError(f"push: the Hub refuses README.md: {_line(error)}") from None
    except (httpx2.HTTPError, OSError, RuntimeError) as error:
        raise HubError(f"no upload to {repository}: {_line(error)}; the same command goes on where it was") from None


def _line(error: Exception) -> str:
    return without_secrets(" ".join(str(error).split()) or type(error).__name__)[:MAX_MESSAGE_CHARS]
