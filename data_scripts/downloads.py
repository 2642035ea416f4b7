"""Files from the network, into the user's cache, checked against a known sum."""

from __future__ import annotations

from pathlib import Path


def fetch(url: str, sha256: str | None, folder: str, instead: str) -> Path:
    """A file of the user's cache, downloaded with a progress bar if it is not there yet.

    Args:
        url: where it is; its last part is the file's name.
        sha256: its known sum; None takes it as it comes.
        folder: folder of the cache.
        instead: what to do without the download, for the error.

    Raises:
        FileNotFoundError: it cannot be had, or is another file than the one known.
    """
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(f"downloading {url} needs pooch; pip install pooch, or {instead}") from None
    try:
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}" if sha256 else None,
            fname=url.rsplit("/", 1)[-1],
            path=pooch.os_cache("d2e2s") / folder,
            progressbar=True,
        )
    except (OSError, ValueError) as error:  # no network, or not the file we know
        raise FileNotFoundError(f"cannot download {url} ({' '.join(str(error).split())}); {instead}") from error
    return Path(path)
