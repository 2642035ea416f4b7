"""D2E2S: a dual-channel graph model for aspect sentiment triplet extraction over any pretrained encoder.

Reference: Zhao et al., "Dual Encoder: Exploiting the Potential of Syntactic and Semantic for Aspect Sentiment Triplet
Extraction", LREC-COLING 2024; cross-attention fusion after DESS.

Notation of all shapes: B sentences, T word pieces, W words, N = W + 1 nodes (node 0 is [CLS], the root of the
dependency tree), D the encoder's width, S the largest span width, K candidates of each kind.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init

from .configuration_d2e2s import D2E2SConfig
from .encoding_d2e2s import encode, pool_words, without_pooler
from .ensemble_d2e2s import joined_config, mean_of_models
from .errors_d2e2s import UserError
from .fusion_d2e2s import FUSIONS, MaskedBiLSTM, MultiHeadAttention
from .graph_d2e2s import (
    SEMANTIC_GCNS,
    SYNTACTIC_GCNS,
    BiaffineParser,
    GATv2,
    dependency_graph,
    graph_consistency_loss,
    head_arcs,
    parser_loss,
)
from .labels_d2e2s import IGNORED, UNKNOWN
from .output_d2e2s import D2E2SModelOutput, D2E2SOutput
from .pipeline_d2e2s import custom_pipelines
from .spans_d2e2s import (
    ASPECT,
    OPINION,
    NoneFirstClassifier,
    PairScorer,
    SpanScorer,
    candidates,
    contrastive_loss,
    decode,
    given_spans,
    pair_labels,
    span_labels,
    span_mask,
)
from .tree_d2e2s import decode_heads

# Before training the graphs add little to the encoder's nodes, and every span and pair is "none", as nearly all are
# (Lin et al. 2017, section 4.1): both maps start small, and the bias of "none" at this logit.
SMALL_GAIN, NONE_PRIOR = 0.1, 4.0


class D2E2SPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by both models."""

    config_class = D2E2SConfig
    config: D2E2SConfig
    base_model_prefix = "d2e2s"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def _init_weights(self, module: nn.Module) -> None:
        """Xavier for all linear maps (the default 0.02 starves heads that train at few steps), else the default."""
        if isinstance(module, nn.Linear):
            small = isinstance(module, (GraphOutput, NoneFirstClassifier))
            init.xavier_uniform_(module.weight, gain=SMALL_GAIN if small else 1.0)
            if module.bias is not None:
                init.zeros_(module.bias)
            if isinstance(module, NoneFirstClassifier):
                init.copy_(module.bias, F.pad(module.bias[1:], (1, 0), value=NONE_PRIOR))
        elif isinstance(module, GATv2):
            init.xavier_uniform_(module.attention)
        else:
            super()._init_weights(module)
        for name in ("share", "layer_weights", "no_context"):
            if isinstance(getattr(module, name, None), nn.Parameter):
                init.zeros_(getattr(module, name))


class GraphOutput(nn.Linear):
    """Brings what the graphs found back to the encoder's nodes; a class of its own for its small initial weights."""


class D2E2SModel(D2E2SPreTrainedModel):
    """Encoder, words as graph nodes, BiLSTM channel, syntactic and semantic GCN, fusion, residual self-attention."""

    def __init__(self, config: D2E2SConfig) -> None:
        super().__init__(config)
        self.encoder = without_pooler(AutoModel.from_config(config.encoder_config))
        if config.uses_graphs:
            self._build_channels(config)
        if config.uses_parser:
            relations = len(config.deprel_labels)
            self.parser = BiaffineParser(config.hidden_size, config.parser_size, relations, config.dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Those of the encoder; FSDP asks for them."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.set_input_embeddings(value)

    def _build_channels(self, config: D2E2SConfig) -> None:
        size, dropout = cast(int, config.graph_size), config.dropout
        self.dropout = nn.Dropout(dropout)
        self.channel = nn.Linear(config.hidden_size, size)
        self.lstm = MaskedBiLSTM(size, size // 2)
        self.lstm_norm = nn.LayerNorm(size)
        gcn = (size, config.gcn_layers, config.gcn_heads, dropout)
        self.semantic_gcn = SEMANTIC_GCNS[config.semantic_gcn](*gcn)
        if config.syntactic_gcn != "none":
            self.syntactic_gcn = SYNTACTIC_GCNS[config.syntactic_gcn](*gcn)
        self.fusion = FUSIONS[config.fusion_type](size, config.fusion_heads, dropout)
        self.self_attention = MultiHeadAttention(size, config.fusion_heads, dropout)
        self.output = GraphOutput(size, config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_index: Tensor,
        word_mask: Tensor,
        heads: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> D2E2SModelOutput:
        """Fused node features.

        Args:
            input_ids, attention_mask, token_type_ids: `(B, T)`, for the encoder.
            word_index: `(B, T)` node of each word piece: 0 for [CLS], i + 1 for word i, -1 for none.
            word_mask: `(B, W)` real words.
            heads: `(B, W)` 1-based heads, 0 = root, -1 = unknown. A sentence of -1 has no parse.

        Raises:
            UserError: a sentence without heads although `config.syntax` is `input`.
        """
        if token_type_ids is not None:
            kwargs["token_type_ids"] = token_type_ids
        pieces = encode(self.encoder, {"input_ids": input_ids, "attention_mask": attention_mask, **kwargs})
        nodes = pool_words(pieces, word_index, word_mask.shape[1] + 1)
        mask = F.pad(word_mask, (1, 0), value=True)
        output = D2E2SModelOutput(last_hidden_state=nodes, node_mask=mask, encoder_nodes=nodes)
        return self._fuse(output, nodes, mask, heads) if self.config.uses_graphs else output

    def _fuse(self, output: D2E2SModelOutput, nodes: Tensor, mask: Tensor, heads: Tensor | None) -> D2E2SModelOutput:
        channel = self.channel(nodes)
        channel = self.lstm_norm(channel + self.dropout(self.lstm(channel, mask)))
        semantic, output.semantic_graph = self.semantic_gcn(channel, mask)
        syntactic = channel
        if self.config.syntactic_gcn != "none":
            output.syntactic_graph = self._syntactic_graph(output, nodes, mask, heads)
            syntactic = self.syntactic_gcn(channel, output.syntactic_graph)
        fused = self.fusion(channel, semantic, syntactic, mask)
        fused = fused + self.self_attention(fused, fused, mask)
        output.last_hidden_state = self.output_norm(nodes + self.dropout(self.output(fused)))
        return output

    def _syntactic_graph(self, output: D2E2SModelOutput, nodes: Tensor, mask: Tensor, heads: Tensor | None) -> Tensor:
        """The dependency graph `(B, N, N)`: of the given heads, of the parser's distribution, or of either."""
        if not self.config.uses_parser:
            # Only this mode pays a host synchronisation: without a parser, nothing else would notice.
            if heads is None or bool((heads < 0).all(1).any()):
                raise UserError('heads are missing: config.syntax="input" needs the heads of every sentence')
            return dependency_graph(head_arcs(heads), mask)
        output.arc_logits = self.parser(nodes, mask)
        predicted = output.arc_logits.softmax(-1)
        if heads is None or self.config.syntax == "predicted":
            return dependency_graph(predicted, mask)
        given = (heads >= 0).any(1)
        if self.training:
            given = given & (torch.rand(given.shape, device=given.device) >= self.config.predicted_graph_rate)
        return dependency_graph(torch.where(given[:, None, None], head_arcs(heads), predicted), mask)


class Reading(NamedTuple):
    """What one model makes of a batch's spans: `nodes (B, N, D)`, `features (B, W, S, P)`, `logits (B, W, S, 3)`."""

    base: D2E2SModelOutput
    nodes: Tensor
    features: Tensor
    logits: Tensor


class D2E2SForTripletExtraction(D2E2SPreTrainedModel):
    """Aspect sentiment triplets from fused node features: spans, candidates, pairs, decoding.

    Or several such models trained apart, whose mean probabilities of spans and of pairs decide (Lakshminarayanan et al.
    2017), those of `config.members`: see `ensemble_of`.

    Attributes:
        origin: what is known of where the weights come from, for the results of a run; not saved with them.
    """

    origin: dict[str, Any] | None = None

    def __init__(self, config: D2E2SConfig) -> None:
        super().__init__(config)
        # Importing the pipeline is what makes its file travel with the weights; this is what makes `pipeline` find it.
        config.custom_pipelines = custom_pipelines()
        self.d2e2s = D2E2SModel(config)
        size, dropout = config.hidden_size, config.dropout
        self.dropout = nn.Dropout(dropout)
        self.span_scorer = SpanScorer(
            size, config.head_size, config.max_span_width, dropout, config.boundary_refinement
        )
        self.pair_scorer = PairScorer(size, config.head_size, len(config.sentiment_labels), dropout)
        if config.others:
            self.others = nn.ModuleList(type(self)(member) for member in config.members[1:])
        self.post_init()

    @classmethod
    def from_encoder(cls, name_or_path: str, **config: Any) -> "D2E2SForTripletExtraction":
        """A new model on a pretrained encoder, in float32; `config` are fields of [`D2E2SConfig`].

        Raises:
            OSError: there is no such encoder.
            StrictDataclassError: (`huggingface_hub.errors`) a field of `config` is wrong; its cause says why.
        """
        encoder = AutoModel.from_pretrained(name_or_path, dtype=torch.float32)
        if os.path.isdir(name_or_path):  # a folder here means nothing where the checkpoint goes
            encoder.config.name_or_path = ""
        model = cls(D2E2SConfig(encoder_config=encoder.config, **config))
        model.d2e2s.encoder = without_pooler(encoder)
        return model

    @classmethod
    def ensemble_of(cls, models: "Sequence[D2E2SForTripletExtraction]") -> "D2E2SForTripletExtraction":
        """One model of several that were trained apart, in evaluation mode; its weights are theirs, not copies.

        They may differ in fusion, graphs, sizes and what they were trained with (`OWN_FIELDS` of the configuration).
        It costs as much as all of them. Its calibration and threshold are the defaults: both are to be chosen anew.

        Raises:
            UserError: fewer than two models, an ensemble among them, or models that differ in anything else.
        """
        if len({id(model) for model in models}) < max(2, len(models)):
            raise UserError(f"an ensemble has at least two different models, got {len(models)}")
        config = joined_config([model.config for model in models])
        with torch.device("meta"):
            ensemble = cls(config)
        ensemble.d2e2s, ensemble.span_scorer, ensemble.pair_scorer = (
            models[0].d2e2s,
            models[0].span_scorer,
            models[0].pair_scorer,
        )
        ensemble.others = nn.ModuleList(models[1:])
        return ensemble.eval()

    @property
    def members(self) -> "list[D2E2SForTripletExtraction]":
        """The models that decide: this one, and the others of an ensemble."""
        return [self, *getattr(self, "others", ())]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_index: Tensor,
        word_mask: Tensor,
        heads: Tensor | None = None,
        deprels: Tensor | None = None,
        labels: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_relations: bool = False,
        aspects: Tensor | None = None,
        threshold: float | None = None,
    ) -> D2E2SOutput:
        """Triplets, and the loss when `labels` are given.

        Args:
            input_ids, attention_mask, token_type_ids, word_index, word_mask, heads: see [`D2E2SModel.forward`].
            deprels: `(B, W)` relation ids, -1 = unknown; only the parser's loss reads them.
            labels: `(B, M, 5)` gold triplets: aspect start, aspect end, opinion start, opinion end (words, half open),
                sentiment id; padded with -100. A span wider than `config.max_span_width` cannot be learned. Where a
                sentence's triplets are unknown its rows are -1: then it trains the parser only.
            return_relations: also decode the predicted tree (`heads`) and label its arcs (`relation_logits`).
            aspects: `(B, A, 2)` spans [start, end) of at most `config.max_span_width` words, padded with -1: only
                triplets of these aspects, whatever the span classifier thinks of them.
            threshold: lowest score of a decoded triplet, in place of `config.decision_threshold`.

        Of an ensemble, graphs, arcs, relations and the losses of them are those of its first model.

        Raises:
            UserError: an ensemble in training mode; see also [`D2E2SModel.forward`].
        """
        if self.config.others and any(member.training for member in self.members):
            raise UserError("an ensemble is not trained as one: train its models, each by itself")
        inputs = (input_ids, attention_mask, word_index, word_mask, heads, token_type_ids)
        readings = [member.read(*inputs) for member in self.members]
        base, features = readings[0].base, readings[0].features
        span_logits = mean_of_models([reading.logits for reading in readings])
        mask = span_mask(word_mask, self.config.max_span_width)
        gold = span_labels(labels, mask) if labels is not None else None
        if aspects is None:
            found, opinions = self._candidates(span_logits, mask, gold, ASPECT)
        else:
            found, (opinions,) = given_spans(aspects), self._candidates(span_logits, mask, gold, OPINION)
        pair_logits = mean_of_models(
            [
                member.pair_scorer(reading.nodes, reading.features, found[0], opinions[0])
                for member, reading in zip(self.members, readings, strict=True)
            ]
        )
        triplets, scores = None, None
        if not self.training:
            triplets, scores = self._decode(pair_logits, found, opinions, threshold, aspects is not None)
        output = D2E2SOutput(
            triplets=triplets,
            scores=scores,
            span_logits=span_logits,
            pair_logits=pair_logits,
            aspects=found[0],
            opinions=opinions[0],
            arc_logits=base.arc_logits,
            semantic_graph=base.semantic_graph,
            syntactic_graph=base.syntactic_graph,
        )
        if return_relations and base.arc_logits is not None:
            output.heads = decode_heads(base.arc_logits, word_mask)
            output.relation_logits = self._relation_logits(base, output.heads)
        if labels is not None and gold is not None:
            output.losses = self._triplet_losses(span_logits, pair_logits, labels, mask, gold, found, opinions)
            output.losses |= self._auxiliary_losses(base, features, labels, heads, deprels)
            output.loss = cast(Tensor, sum(self._loss_weight(name) * loss for name, loss in output.losses.items()))
        return output

    def read(self, *inputs: Tensor | None) -> Reading:
        """The spans of a batch, for [`forward`]; inputs as for [`D2E2SModel.forward`]."""
        base = self.d2e2s(*inputs)
        nodes = self.dropout(base.last_hidden_state)
        return Reading(base, nodes, *self.span_scorer(nodes))

    def _candidates(
        self, span_logits: Tensor, mask: Tensor, gold: Tensor | None, first: int
    ) -> list[tuple[Tensor, Tensor]]:
        """The best spans of each kind from the first one on. In training the gold ones are among them, so that pairs
        learn from both.
        """
        scores = span_logits.detach().log_softmax(-1)[..., first:].movedim(-1, 1)  # (B, kinds, W, S)
        forced = None
        if gold is not None and self.training:
            forced = torch.stack([gold == kind for kind in range(first, OPINION + 1)], dim=1)
        most, more_if_long = self.config.max_candidates, not self.training
        spans, exist = candidates(scores, mask[:, None], most, forced, more_if_long)
        return list(zip(spans.unbind(1), exist.unbind(1), strict=True))

    def _decode(
        self,
        pair_logits: Tensor,
        aspects: tuple[Tensor, Tensor],
        opinions: tuple[Tensor, Tensor],
        threshold: float | None,
        given: bool,
    ) -> tuple[Tensor, Tensor]:
        config = self.config
        lowest_score = config.decision_threshold if threshold is None else threshold
        options = (config.max_triplets, lowest_score, config.temperature, config.score_shift)
        return decode(pair_logits, aspects, opinions, *options, config.allow_overlaps, given)

    def _relation_logits(self, base: D2E2SModelOutput, heads: Tensor) -> Tensor | None:
        relation = self.d2e2s.parser.relation
        return None if relation is None else relation(base.encoder_nodes, heads)

    def _triplet_losses(
        self,
        span_logits: Tensor,
        pair_logits: Tensor,
        labels: Tensor,
        mask: Tensor,
        gold: Tensor,
        aspects: tuple[Tensor, Tensor],
        opinions: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """Cross-entropy of spans and of pairs, summed and divided by the number of words.

        Sums keep a rare positive's weight whatever the number of easy negatives. Sentences whose triplets are unknown
        take no part.
        """
        known = (labels[:, 0, 0] != UNKNOWN)[:, None, None]
        mask = mask & known
        words = mask[..., 0].sum().clamp(min=1)
        pairs = pair_labels(labels, aspects[0], opinions[0])
        exists = aspects[1][:, :, None] & opinions[1][:, None] & known
        return {
            "span": masked_cross_entropy(span_logits, gold, mask) / words,
            "pair": masked_cross_entropy(pair_logits, pairs, exists) / words,
        }

    def _auxiliary_losses(
        self, base: D2E2SModelOutput, features: Tensor, labels: Tensor, heads: Tensor | None, deprels: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses that are switched on and have what they need."""
        config, losses = self.config, {}
        if base.arc_logits is not None and heads is not None and config.parser_loss_weight:
            relations = self._relation_logits(base, heads) if deprels is not None else None
            losses["parser"] = parser_loss(base.arc_logits, heads, relations, deprels)
        if config.contrastive_loss_weight:
            losses["contrastive"] = contrastive_loss(features, labels, config.contrastive_temperature)
        syntactic, semantic, mask = base.syntactic_graph, base.semantic_graph, base.node_mask
        if config.graph_consistency_weight and syntactic is not None and semantic is not None and mask is not None:
            losses["graph_consistency"] = graph_consistency_loss(syntactic, semantic, mask)
        return losses

    def _loss_weight(self, name: str) -> float:
        weights = {
            "parser": self.config.parser_loss_weight,
            "contrastive": self.config.contrastive_loss_weight,
            "graph_consistency": self.config.graph_consistency_weight,
        }
        return weights.get(name, 1.0)


def masked_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum of the cross-entropy where the mask is true: `(..., C)`, `(...)`, `(...)` to a scalar."""
    target = target.masked_fill(~mask, IGNORED)
    return F.cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=IGNORED, reduction="sum")


D2E2SForTripletExtraction.register_for_auto_class("AutoModel")
