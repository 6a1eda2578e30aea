"""Loading from model hubs: without retries where there is no network, and with one clear error."""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from neuronym._core.errors import NeuronymError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the model libraries' warnings and log lines off the terminal.

    What was set before is restored. What matters in those messages (weights that are missing or of
    another shape) is checked for, not printed.
    """
    # Threads of the tokenizers make every later fork print a warning, and words need no threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        # open_clip calls `logging.info`, which would give the root logger a handler for good.
        root, nothing = logging.getLogger(), logging.NullHandler()
        root.addHandler(nothing)
        stack.callback(root.removeHandler, nothing)
        for library in ("transformers", "huggingface_hub", "timm"):
            logger = logging.getLogger(library)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        if "transformers" in sys.modules:
            from transformers.utils import logging as log

            if log.is_progress_bar_enabled():
                log.disable_progress_bar()
                stack.callback(log.enable_progress_bar)
        yield


@contextmanager
def hub(what: str, otherwise: str) -> Iterator[None]:
    """Load from the Hugging Face hub inside the block.

    Args:
        what: what is being loaded, as the subject of the error's sentence.
        otherwise: what to do without the hub, as a clause.

    Raises:
        NeuronymError: whatever the hub's client raises.
    """
    from huggingface_hub import constants

    stated = constants.HF_HUB_OFFLINE
    offline = stated or not reachable(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = offline
    try:
        with quiet():
            yield
    except NeuronymError:
        raise
    except Exception as error:
        cause = reason(error)
        if stated:
            cause = "HF_HUB_OFFLINE is set and it is not in the local cache"
        elif offline:
            cause = "there is no network and it is not in the local cache"
        raise NeuronymError(f"{what} could not be loaded: {cause}. {otherwise}") from error
    finally:
        constants.HF_HUB_OFFLINE = stated


@functools.cache
def reachable(address: str) -> bool:
    """Whether an address' host name resolves; clients would retry for half a minute if not."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(address).hostname, 443)
    except OSError:
        return False
    return True


def looks_like_a_path(text: str) -> bool:
    """Whether a name that is no folder was meant to be one, not a repository of the hub."""
    return text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text


def reason(error: BaseException) -> str:
    """The first line of an error's message, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return (first if len(first) <= 200 else first[:199] + "…").rstrip(".:")
