"""Public sets of triplets: where they are, what their files must hold, and under which licence they stand.

Files are downloaded once and kept in the user's cache. `SHA256` says what they must hold; a file without a known sum,
such as those of 16res, is downloaded on demand only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from d2e2s.data_scripts.dataset_card import UNKNOWN_LICENCE
from d2e2s.data_scripts.downloads import fetch
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
SHA256 = {
    "14res/train_triplets.txt": "feec35b67e697ad6908f14e8579fc3a025714485976784db0bf4018ddb32e97e",
    "14res/dev_triplets.txt": "80a7a26e642df87db2c9ae7e1173827cb718c2ff88f11614f5c652163b1d62d1",
    "14res/test_triplets.txt": "e3dcc31f520bc2e654fc6b2c588bb3e0c7f0f24b93a56dc585a3079480d871a5",
    "14res/train_dep_triple_polarity_result.json": "8b529f6fd7a1118ed62fa31ca6d24f07fc410f4fad9b8dead314f8f2e3acde9a",
    "14res/dev_dep_triple_polarity_result.json": "433623973a530f8826c40f372d556d06ed20a1034e950083cb3b0670da86a3eb",
    "14res/test_dep_triple_polarity_result.json": "9023d683849bd052913b63f2a35994fe1b778226ccab7a91a9aa0ed97237861e",
    "14lap/train_triplets.txt": "512ea143794332967b346d76791bba10e0c10c5d20d8e1fa8f6534c2069f9b7c",
    "14lap/dev_triplets.txt": "0adbf20fc75284d5d49523f56ec368d94a9da305e87411e0c627d12cd4510bc0",
    "14lap/test_triplets.txt": "413a3f655409af25bcb03a9499709925349fff3edbc3a7ca95fc6cdf788eeb92",
    "14lap/train_dep_triple_polarity_result.json": "54567b44fc244749e7e6dce12e7ef520c4b6938fae1285e161c4a27130f73358",
    "14lap/dev_dep_triple_polarity_result.json": "648b41f0f681282521b0220bb87ea4af5d32b0d9b8edfbf2ff5f27652a06715a",
    "14lap/test_dep_triple_polarity_result.json": "19542d3a741b103d5d6da16c4e4986f766a20414b59b65667ab06da7ee4d2f45",
    "15res/train_triplets.txt": "11c5abe1de8ad284a8d06596a8be45674e0ec153beb161b8378f88f61bf2b5db",
    "15res/dev_triplets.txt": "14b900f7fa7327c479091d3905c3706c72f35f8af825dc2e114da64cf9f8d270",
    "15res/test_triplets.txt": "1079183e82e91cb2e6c93e79826c47230bca9152631fff5c37bac450062c0153",
    "15res/train_dep_triple_polarity_result.json": "6036063ad47dcfab24f5eda68a4bf8bc692e5387db77d9daf41638e47022cc46",
    "15res/dev_dep_triple_polarity_result.json": "56fa51de1c7d85a29bf82c0a3e35c2292855dd66f49870a727ba60058b411025",
    "15res/test_dep_triple_polarity_result.json": "05e5b974b2be80294de4598d90c6b3ddc43b43075455d50f4fe3ec387cb70f2a",
    "dmaste/electronics/train.txt": "3c5289fd4c02f6e38eabca3872f45988bc96e3ed786c8a4097b2759da0ddb64e",
    "dmaste/electronics/dev.txt": "64afaaa9fffe14d16485aee487e12750a8fdc684ce217c9a8c9604e0daef994d",
    "dmaste/home/train.txt": "1b1feaf2bfe49d62ec84c77d99ea8e215ea642c17b0a9045149dc3ac3cc90ffa",
    "dmaste/home/dev.txt": "003bdaaa2c0319aadeb710ab8966e6aa5b59904e6e2b256dea9d2a33977b0429",
    "dmaste/beauty/train.txt": "84f21dad67479c4def3b9f0e558ebcf19065ba5efb7f082d3ffc48c1e71761e7",
    "dmaste/beauty/dev.txt": "91716cd69a771bebba62c107c064e74240c0e79a39642a98dff34cead7f07834",
    "dmaste/fashion/train.txt": "e0dba42ba613efa015d4b3d25e67f8f4be7ef34cf7f7fea55166693991e8b27b",
    "dmaste/fashion/dev.txt": "e796797deb1cffe55a5433189d6108de60c01280bba952e444390ce2fef8a866",
    "dmaste/book/dev.txt": "1e2798c34c7693bababce8792199b8dfdbecb5bc1ecd8f35994f142e783210e0",
    "dmaste/grocery/dev.txt": "2363b6a9af4cf1a0da819fbc8c46ca1282fcacf04c690a28fb4eb624260b8bfc",
    "dmaste/pet/dev.txt": "78501b2803e17fb5bade8ffad1d89a4b237770dd01b35e3a333577635f306b03",
    "dmaste/toy/dev.txt": "28fe1f9d6b0aee04c360c07f88ed90e7d7182ad449baa8f99b04dba789d62210",
    "aste_synthetic/train.txt": "b7326d89e9ac2369be687c57229d315e7de79ec830b5e9afffcacfbb0a2c45da",
}
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


def download(folder: str, file: str, url: str, instead: str, allow_unverified: bool = False) -> Path:
    """Fetch a file of a public set into the user's cache, with a progress bar, checked against its known sum.

    Args:
        folder: of the cache, and of the keys of `SHA256`.
        file: its name.
        url: of the folder that it is in.
        instead: what to do without the download, for the error.
        allow_unverified: take a file without a known sum as it comes, with a warning.

    Raises:
        FileNotFoundError: it cannot be had, is another file than the one known, or has no known sum.
    """
    pin = SHA256.get(f"{folder}/{file}")
    if pin is None and not allow_unverified:
        raise FileNotFoundError(
            f"{folder}/{file}: no checksum is known for this file, so it is not downloaded; {instead}, or pass "
            "--allow_unverified to use it as downloaded"
        )
    if pin is None:
        warning = f"{folder}/{file}: no checksum is known for this file, so it is used as downloaded"
        print(f"WARNING: {warning}", file=sys.stderr)
    return fetch(f"{url}/{file}", pin, folder, instead)
