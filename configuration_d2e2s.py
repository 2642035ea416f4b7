"""What a D2E2S model is: every choice that changes its weights or its answers."""

import copy
import math
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar, Literal, cast

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from .errors_d2e2s import UserError
from .labels_d2e2s import SENTIMENTS

FORMAT_VERSION = 3

# What the models of an ensemble may differ in: how each makes its scores of a sentence, and what it was trained with.
# Which spans there are, what sentiments are called and which triplets are returned is common to all.
OWN_FIELDS = (
    "fusion_type",
    "semantic_gcn",
    "syntactic_gcn",
    "graph_size",
    "gcn_layers",
    "gcn_heads",
    "syntax",
    "parser_size",
    "deprel_labels",
    "parser_loss_weight",
    "predicted_graph_rate",
    "fusion_heads",
    "head_size",
    "dropout",
    "boundary_refinement",
    "contrastive_loss_weight",
    "contrastive_temperature",
    "graph_consistency_weight",
)


def _from_0(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 0 did not write its version, and its scores were not calibrated: the temperature was 1."""
    return {"temperature": 1.0, **fields}


def _from_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 held one model."""
    return {"ensemble_size": 1, **fields}


def _from_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 2 held models of one configuration, and said how many."""
    size = fields.get("ensemble_size", 1)
    if type(size) is not int or size < 1:
        raise UserError(f"ensemble_size must be a whole number, at least 1, got {size!r}")
    kept = {name: value for name, value in fields.items() if name != "ensemble_size"}
    return {"others": [{} for _ in range(size - 1)], **kept}


# From a version to the next: the saved fields in, the fields of one version later out.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0, 1: _from_1, 2: _from_2}


def upgraded(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a saved configuration as this version writes them; of a newer version as they are."""
    version = fields.get("format_version", 0)
    if type(version) is not int or version < 0:
        return fields  # the validation of the fields says what is wrong
    for old in range(version, FORMAT_VERSION):
        fields = UPGRADES[old](fields)
    return {**fields, "format_version": max(version, FORMAT_VERSION)}


@strict
class D2E2SConfig(PreTrainedConfig):
    """Configuration of [`D2E2SModel`] and [`D2E2SForTripletExtraction`].

    The encoder's own configuration is nested, so a checkpoint loads without the Hub. Every field is validated
    when it is set; the error lists the values that are allowed.

    Args:
        encoder_config: configuration (or its dict) of the pretrained encoder; any `AutoModel` encoder.
        fusion_type: how the syntactic and the semantic branch meet. `none` is the control: encoder nodes as they
            are, no BiLSTM, no graphs (then `semantic_gcn`, `syntactic_gcn` and `syntax` have no effect).
        semantic_gcn: `basic` (GCN over averaged self-attention) or `enhanced` (relative positions, separate heads,
            gated global context, learned weighting of the layers).
        syntactic_gcn: `basic` (GCN over the dependency graph), `enhanced` (GATv2 and GraphSAGE, learned mix), `none`.
        graph_size: width C of the BiLSTM channel, the graphs and the fusion; None = half of the encoder's, rounded
            up to a multiple of the heads. What they find is mapped back and added to the encoder's nodes.
        gcn_layers: layers of each graph network.
        gcn_heads: attention heads of the semantic graph and of GATv2; must divide `graph_size`.
        syntax: where the dependency graph comes from: `input` (heads must be given), `predicted` (the built-in
            parser), `auto` (given heads are used, missing ones predicted).
        parser_size: width of the parser's arc space; its relation space is a quarter of it.
        parser_loss_weight: weight of the parser's cross-entropy.
        predicted_graph_rate: share of training sentences that see the predicted graph although heads are given
            (`syntax="auto"` only), so that the model is at home with both.
        deprel_labels: names of the dependency relations; empty = the parser predicts heads only.
        fusion_heads: heads of the fusion's cross-attention and of the residual self-attention; must divide
            `graph_size`.
        max_span_width: longest aspect or opinion, in words.
        max_candidates: aspects and opinions kept per sentence for pairing (each); more outside of training where a
            sentence is long, one for each 4 words.
        max_triplets: most triplets returned per sentence, or per aspect where aspects are given.
        allow_overlaps: also return a triplet whose aspect and opinion both overlap those of a better one; in the
            benchmark data one sentence in 4,600 has such triplets.
        head_size: width of the span and pair classifiers.
        dropout: dropout of everything behind the encoder.
        boundary_refinement: attend to the start and the end of a span when it is pooled.
        contrastive_loss_weight: weight of the InfoNCE loss between gold aspects and opinions, 0 = off.
        contrastive_temperature: temperature of that loss.
        graph_consistency_weight: weight of KL(syntactic graph || semantic graph), 0 = off.
        others: of each further model of an ensemble, the fields (of `OWN_FIELDS`) in which it differs from this
            configuration; empty = one model. See [`D2E2SForTripletExtraction.ensemble_of`].
        sentiment_labels: names of the sentiments, in the order of their ids; empty = POS, NEG, NEU.
        decision_threshold: lowest score of a decoded triplet, chosen on dev by the training script.
        temperature: divides the pair logits before the scores are made; 1 = uncalibrated.
        score_shift: added to the log-odds of each score, chosen on dev together with the temperature; 0 = none.
        format_version: version of the checkpoint format; an older one is upgraded when it is loaded, a newer one than
            this code knows is refused.

    Raises:
        StrictDataclassError: (`huggingface_hub.errors`; its cause says what is allowed) a value that is not among the
            allowed ones, repeated labels, a size out of range, a head count that does not divide `graph_size`, or a
            checkpoint of a newer format.
    """

    model_type = "d2e2s"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": AutoConfig}
    # Their sizes vary in more than one dimension: a Trainer cannot gather them across batches.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "span_logits",
        "pair_logits",
        "aspects",
        "opinions",
        "arc_logits",
        "relation_logits",
        "semantic_graph",
        "syntactic_graph",
        "losses",
    ]

    encoder_config: PreTrainedConfig | dict[str, Any] | None = None
    fusion_type: Literal["tin", "cross_attention", "light_cross_attention", "gated", "none"] = "cross_attention"
    semantic_gcn: Literal["basic", "enhanced"] = "enhanced"
    syntactic_gcn: Literal["basic", "enhanced", "none"] = "basic"
    graph_size: int | None = None
    gcn_layers: int = 2
    gcn_heads: int = 4
    syntax: Literal["input", "predicted", "auto"] = "auto"
    parser_size: int = 256
    parser_loss_weight: float = 0.3
    predicted_graph_rate: float = 0.5
    deprel_labels: list[str] = field(default_factory=list)
    fusion_heads: int = 8
    max_span_width: int = 8
    max_candidates: int = 12
    max_triplets: int = 32
    allow_overlaps: bool = False
    head_size: int = 256
    dropout: float = 0.2
    boundary_refinement: bool = False
    contrastive_loss_weight: float = 0.0
    contrastive_temperature: float = 0.07
    graph_consistency_weight: float = 0.0
    others: list[dict[str, Any]] = field(default_factory=list)
    sentiment_labels: list[str] = field(default_factory=list)
    decision_threshold: float = 0.5
    temperature: float = 1.0
    score_shift: float = 0.0
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        if self.encoder_config is None:
            self.encoder_config = AutoConfig.for_model("bert")
        if isinstance(self.encoder_config, dict):
            fields = dict(self.encoder_config)
            self.encoder_config = AutoConfig.for_model(fields.pop("model_type", "bert"), **fields)
        self.deprel_labels = list(self.deprel_labels)
        self.sentiment_labels = list(self.sentiment_labels or SENTIMENTS)
        self.graph_size = self.graph_size or self.default_graph_size
        try:
            super().__post_init__(**kwargs)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            # The base class takes its own fields for granted.
            raise UserError(f"a field that all configurations share (id2label, dtype, ...): {error}") from error

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The configuration that was saved as `config_dict`, by this or any earlier version."""
        return super().from_dict(upgraded(config_dict), **kwargs)

    def validate_sizes(self) -> None:
        """Checked by `@strict` after construction: what no single field can tell."""
        if self.format_version > FORMAT_VERSION:
            raise UserError(
                f"checkpoint format {self.format_version} is newer than {FORMAT_VERSION}, the newest this code reads: "
                "upgrade d2e2s"
            )
        if isinstance(self.dtype, list):
            raise UserError(f"dtype must be the name of a type, got {self.dtype}")
        for name in ("sentiment_labels", "deprel_labels"):
            labels = getattr(self, name)
            if len(set(labels)) < len(labels):
                raise UserError(f"{name} holds a label twice: {labels}")
        counts = ("gcn_layers", "gcn_heads", "fusion_heads", "max_span_width", "max_candidates", "max_triplets")
        sizes = ("graph_size", "parser_size", "head_size")
        for name in (*counts, *sizes, "contrastive_temperature", "temperature"):
            if (getattr(self, name) or 0) <= 0:
                raise UserError(f"{name} must be greater than 0, got {getattr(self, name)}")
        for name in ("parser_loss_weight", "contrastive_loss_weight", "graph_consistency_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not abs(self.score_shift) < float("inf"):
            raise UserError(f"score_shift must be a number, got {self.score_shift}")
        for name in ("dropout", "predicted_graph_rate", "decision_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.uses_graphs:
            self._validate_graph_size()

    def validate_others(self) -> None:
        """Checked by `@strict` after construction: each model of an ensemble is one that could stand alone."""
        if self.format_version > FORMAT_VERSION:
            return  # which is what is wrong
        for place, differences in enumerate(self.others):
            wrong = ", ".join(sorted({*differences} - {*OWN_FIELDS}))
            if wrong:
                raise UserError(f"others[{place}]: models of an ensemble cannot differ in {wrong}")
            try:
                self._member(differences).validate()
            except StrictDataclassError as error:
                raise UserError(f"others[{place}]: {error.__cause__ or error}") from None

    def _validate_graph_size(self) -> None:
        size = cast(int, self.graph_size)
        for name in ("fusion_heads", "gcn_heads"):
            if size % getattr(self, name):
                raise UserError(f"{name}={getattr(self, name)} does not divide graph_size={size}")
        if size % 2:
            raise UserError(f"graph_size must be even (the BiLSTM has two directions), got {size}")

    @property
    def default_graph_size(self) -> int:
        """Half of the encoder's width, rounded up to what the heads and the BiLSTM's two directions divide."""
        step = math.lcm(2, max(self.fusion_heads, 1), max(self.gcn_heads, 1))
        return -(-self.hidden_size // (2 * step)) * step

    @property
    def hidden_size(self) -> int:
        """Width D of the node features: the encoder's."""
        return cast(PreTrainedConfig, self.encoder_config).hidden_size

    @property
    def ensemble_size(self) -> int:
        """How many models decide."""
        return 1 + len(self.others)

    @property
    def members(self) -> "list[D2E2SConfig]":
        """The configuration of each model that decides: of the one, or of those of an ensemble."""
        return [self._member(differences) for differences in ({}, *self.others)]

    def _member(self, differences: dict[str, Any]) -> "D2E2SConfig":
        member = copy.deepcopy(self)
        member.others = []
        for name, value in differences.items():
            setattr(member, name, value)
        return member

    @property
    def uses_graphs(self) -> bool:
        return self.fusion_type != "none"

    @property
    def uses_parser(self) -> bool:
        return self.uses_graphs and self.syntactic_gcn != "none" and self.syntax != "input"

    @property
    def needs_heads(self) -> bool:
        """Whether a sentence without heads is refused, by any of the models."""
        return any(m.uses_graphs and m.syntactic_gcn != "none" and m.syntax == "input" for m in self.members)


D2E2SConfig.register_for_auto_class()
