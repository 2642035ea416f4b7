"""Public sets of triplets: where they are, what their files must hold, and under which licence they stand.

Files are downloaded once and kept in the user's cache. `public_sets.sha256` says what they must hold; a file without a
known sum, such as those of 16res, is downloaded on demand only.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE
from d2e2s.data_scripts.files import sha256

ASTE_V2 = ("14res", "14lap", "15res", "16res")
DOMAINS = ("electronics", "home", "beauty", "fashion", "book", "grocery", "pet", "toy")  # the last four: dev only
RAW = "https://raw.githubusercontent.com"
# Of the first two the branches, as no commit that holds these very files is known to us.
TEXTS_URL = f"{RAW}/xuuuluuu/SemEval-Triplet-data/master/ASTE-Data-V2-EMNLP2020"
PARSES_URL = f"{RAW}/TYZY89/D2E2S/main/data"
DMASTE_URL = f"{RAW}/NJUNLP/DMASTE/1be462cd7dd1479b314cc85234a59e8bc7cdf89b/dataset"
SYNTHETIC_URL = (
    f"{RAW}/yangheng95/ABSADatasets/fe10fc1a6ef56356cd5e0c2be844f540743ef44d/datasets/aste_datasets/406.Synthetic"
)
# Of each file, by folder and name, what it must hold; `sha256sum --check` reads it too.
_SUMS = Path(__file__).with_suffix(".sha256").read_text(encoding="utf-8")
SHA256 = {name: digest for digest, name in map(str.split, _SUMS.splitlines())}
ABOUT_ASTE_V2 = """{name} of ASTE-Data-V2 (Xu et al. 2020, "Position-Aware Tagging for Aspect Sentiment Triplet
Extraction"), review sentences of the SemEval tasks on aspect-based sentiment analysis{parses}. The repository of the
triplets states no licence, and the terms of SemEval hold for the sentences: read them before you publish this data."""
ABOUT_DMASTE = """Domain {name} of DMASTE (Xu et al., Findings of ACL 2023, "Measuring Your ASTE Models in The Wild"):
reviews of products on Amazon, of whole paragraphs. MIT licence, (c) 2023 NJUNLP."""
ABOUT_SYNTHETIC = """Short machine-written reviews of many domains, set 406.Synthetic of ABSADatasets
(Heng Yang). MIT licence, (c) 2022 Heng Yang."""


@dataclass(frozen=True)
class PublicSet:
    """Text files of a set.

    Attributes:
        folder: of the cache, and of the keys of `SHA256`.
        url: of the folder.
        files: by split.
        about: for the card.
    """

    folder: str
    url: str
    files: dict[str, str]
    about: str
    licence: str = UNKNOWN_LICENCE

    @property
    def name(self) -> str:
        return self.folder.rsplit("/", 1)[-1]

    @property
    def sums(self) -> set[str | None]:
        """The known sums of its files."""
        return {SHA256.get(f"{self.folder}/{file}") for file in self.files.values()}

    def download(self, split: str, instead: str, allow_unverified: bool = False) -> Path:
        """The file of a split, from the user's cache or the network. Errors as for `download`."""
        return download(self.folder, self.files[split], self.url, instead, allow_unverified)


def _aste_v2(name: str) -> PublicSet:
    files = {split: f"{split}_triplets.txt" for split in ("train", "dev", "test")}
    return PublicSet(name, f"{TEXTS_URL}/{name}", files, ABOUT_ASTE_V2.format(name=name, parses=""))


def _dmaste(name: str) -> PublicSet:
    files = {split: f"{split}.txt" for split in ("train", "dev") if f"dmaste/{name}/{split}.txt" in SHA256}
    return PublicSet(f"dmaste/{name}", f"{DMASTE_URL}/{name}", files, ABOUT_DMASTE.format(name=name), "mit")


TEXT_SETS = {
    **{name: _aste_v2(name) for name in ASTE_V2},
    **{f"dmaste/{name}": _dmaste(name) for name in DOMAINS},
    "synthetic": PublicSet("aste_synthetic", SYNTHETIC_URL, {"train": "train.txt"}, ABOUT_SYNTHETIC, "mit"),
}


def known_set(files: Iterable[Path]) -> PublicSet | None:
    """The set that these files are of, by their sums; None if it is none that we know."""
    sums = {sha256(file) for file in files}
    return next((each for each in TEXT_SETS.values() if sums <= each.sums), None)


def download(
    folder: str, file: str, url: str, instead: str, allow_unverified: bool = False, pin: str | None = None
) -> Path:
    """Fetch a file of a public set into the user's cache, with a progress bar, checked against its known sum.

    Args:
        folder: of the cache, and of the keys of `SHA256`.
        file: its name.
        url: of the folder that it is in.
        instead: what to do without the download, for the error.
        allow_unverified: take a file without a known sum as it comes, with a warning.
        pin: its known sum, if it is not in `SHA256`.

    Raises:
        FileNotFoundError: it cannot be had, is another file than the one known, or has no known sum.
    """
    pin = pin or SHA256.get(f"{folder}/{file}")
    if pin is None:
        what = f"{folder}/{file}: no checksum is known for this file, so it is"
        if not allow_unverified:
            instead += ", or pass --allow_unverified to use it as downloaded"
            raise FileNotFoundError(f"{what} not downloaded; {instead}")
        print(f"WARNING: {what} used as downloaded", file=sys.stderr)
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(f"downloading {url}/{file} needs pooch; pip install pooch, or {instead}") from None
    known_hash, cache = f"sha256:{pin}" if pin else None, pooch.os_cache("d2e2s") / folder
    try:
        return Path(pooch.retrieve(f"{url}/{file}", known_hash, fname=file, path=cache, progressbar=True))
    except (OSError, ValueError) as error:  # no network, or not the file we know
        raise FileNotFoundError(f"cannot download {url}/{file} ({' '.join(str(error).split())}); {instead}") from error
