"""Tiny random encoders of every supported family, with their fast tokenizers, written to a folder."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from d2e2s import D2E2SForTripletExtraction, D2E2SProcessor

WINDOW = 128
CHARACTERS = string.ascii_letters + string.digits + string.punctuation
SENTENCES = """
we had the pizza and the sushi with a nice wine but they were not fresh so it was n't good
our waiter was very friendly and the staff of this place is excellent or at least not rude
i have the laptop on my desk and you are too slow in that menu for an average price
its screen and keyboard are really great no matter the quality to be had has cheap battery life
their service is terrible but delicious food at a bad place
"""
WORDS = list(dict.fromkeys(SENTENCES.split()))


def bert_tokenizer() -> PreTrainedTokenizerBase:
    """WordPiece: lower-cased words, single characters, and their continuations."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *CHARACTERS, *WORDS, *("##" + character for character in CHARACTERS)]
    return BertTokenizer(vocab=_numbered(pieces), model_max_length=WINDOW)


def roberta_tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level BPE, loaded like the published ones: without `add_prefix_space`."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(WORDS, trainer)
    model = json.loads(bpe.to_str())["model"]
    merges: list[Any] = [tuple(pair) for pair in model["merges"]]
    return RobertaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=WINDOW)


def deberta_tokenizer() -> PreTrainedTokenizerBase:
    """Unigram with BERT's special tokens, as in DeBERTa-v2 and v3."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    return DebertaV2Tokenizer(vocab=_unigram(special), unk_id=3, model_max_length=WINDOW)


def xlm_roberta_tokenizer() -> PreTrainedTokenizerBase:
    """Unigram with RoBERTa's special tokens."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return XLMRobertaTokenizer(vocab=_unigram(special), model_max_length=WINDOW)


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def _unigram(special: list[str]) -> list[tuple[str, float]]:
    pieces = [(piece, 0.0) for piece in special]
    pieces += [("▁" + word, -4.0) for word in WORDS]
    pieces += [("▁", -6.0)] + [(character, -8.0) for character in CHARACTERS]
    return pieces


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "bert": bert_tokenizer,
    "roberta": roberta_tokenizer,
    "deberta-v2": deberta_tokenizer,
    "xlm-roberta": xlm_roberta_tokenizer,
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DEBERTA_V3: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}
# RoBERTa counts positions from padding_idx + 1 = 2.
CONFIGS: dict[str, Callable[..., PreTrainedConfig]] = {
    "bert": lambda **sizes: BertConfig(max_position_embeddings=WINDOW, **sizes),
    "roberta": lambda **sizes: RobertaConfig(max_position_embeddings=WINDOW + 2, type_vocab_size=1, **sizes),
    "deberta-v2": lambda **sizes: DebertaV2Config(
        max_position_embeddings=WINDOW,
        **DEBERTA_V3,
        **sizes,
    ),
    "xlm-roberta": lambda **sizes: XLMRobertaConfig(max_position_embeddings=WINDOW + 2, type_vocab_size=1, **sizes),
}
KINDS = tuple(TOKENIZERS)
TINY: dict[str, Any] = {"head_size": 16, "parser_size": 16, "graph_size": 16, "fusion_heads": 2, "gcn_heads": 2}


def tiny_encoder(kind: str, folder: Path) -> Path:
    """Write a random encoder (hidden 32, 2 layers, 4 heads, window 128) and its fast tokenizer to `folder`.

    The weights are drawn from a fixed seed, so that two calls write the same encoder; the caller's random
    state is left as it was.
    """
    tokenizer = TOKENIZERS[kind]()
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    config = CONFIGS[kind](vocab_size=len(tokenizer), **ids, **SIZES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def tiny_checkpoint(
    folder: Path, kind: str = "bert", word_splitter: str = "penn", seed: int = 0, **config: Any
) -> Path:
    """Write a random D2E2S checkpoint with its processor to `folder`; the same weights for a seed on every call.

    Its logits are centred and scaled, so that there are aspects, opinions and triplets of all sentiments and scores.
    """
    labels = ["nsubj", "det", "root"]
    encoder = tiny_encoder(kind, folder / "encoder")
    processor = D2E2SProcessor(TOKENIZERS[kind](), labels, word_splitter=word_splitter)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = D2E2SForTripletExtraction.from_encoder(str(encoder), **{"deprel_labels": labels, **TINY, **config})
    inputs = processor(words=[line.split() for line in SENTENCES.strip().splitlines()], heads=None)
    with torch.no_grad():
        for name in ("span", "pair"):
            logits = model.eval()(**inputs, heads=-inputs["word_mask"].long())[f"{name}_logits"]
            _spread(getattr(model, f"{name}_scorer").output, logits.flatten(0, -2))
        model.pair_scorer.output.bias[0] += 5  # most pairs are none
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _spread(layer: torch.nn.Linear, logits: torch.Tensor) -> None:
    """Give the layer's logits `(..., C)` mean 0 and standard deviation 2."""
    mean, scale = logits.mean(0), 2 / logits.std(0)
    layer.weight.mul_(scale[:, None])
    layer.bias.sub_(mean).mul_(scale)
