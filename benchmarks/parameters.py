"""Count the parameters of every fusion and graph network, behind one encoder.

    python -m benchmarks.parameters --encoder_name_or_path all-MiniLM-L6-v2 \
        --out results/parameters.json --page docs/architecture.md

writes the counts as JSON, and as a table between the page's `parameters` marks.
"""

from typing import Any, get_args

import torch
from transformers import AutoConfig

from d2e2s import D2E2SConfig, D2E2SForTripletExtraction
from d2e2s.encoders import resolve_encoder

from .report import markdown_table, option_parser, publish

# An ablation's usual partners: what each choice adds is read against these.
BASE = {"semantic_gcn": "basic", "syntactic_gcn": "basic"}


def choices(field: str) -> tuple[str, ...]:
    """Values that a field of the configuration allows."""
    return get_args(D2E2SConfig.__annotations__[field])


def count(encoder: str, **config: Any) -> dict[str, int]:
    """Parameters of the whole model and of all that is not the encoder; nothing is allocated."""
    with torch.device("meta"):
        model = D2E2SForTripletExtraction(D2E2SConfig(encoder_config=AutoConfig.from_pretrained(encoder), **config))
    fusion = getattr(model.d2e2s, "fusion", torch.nn.Identity())
    total, inside, fused = (sum(p.numel() for p in m.parameters()) for m in (model, model.d2e2s.encoder, fusion))
    return {"total": total, "behind_encoder": total - inside, "fusion": fused}


def count_all(encoder: str) -> dict[str, dict[str, int]]:
    """Counts of each fusion, then of each graph network with cross-attention."""
    rows = {f"fusion_type={name}": count(encoder, fusion_type=name, **BASE) for name in choices("fusion_type")}
    for field in ("semantic_gcn", "syntactic_gcn"):
        for name in choices(field):
            config = {**BASE, field: name, "fusion_type": "cross_attention"}
            rows[f"{field}={name}"] = count(encoder, **config)
    return rows


def table(rows: dict[str, dict[str, int]]) -> str:
    """Markdown table, in thousands."""
    keys = ("fusion", "behind_encoder", "total")
    cells = [(f"`{name}`", *(f"{row[key] / 1000:,.0f} k" for key in keys)) for name, row in rows.items()]
    return markdown_table(("model", "fusion alone", "all behind the encoder", "with the encoder"), cells)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--encoder_name_or_path", default="all-MiniLM-L6-v2")
    options = parser.parse_args()
    rows = count_all(resolve_encoder(options.encoder_name_or_path))
    result = {"encoder": options.encoder_name_or_path, "base": BASE, "parameters": rows}
    publish(options, result, table(rows), "parameters")


if __name__ == "__main__":
    main()
