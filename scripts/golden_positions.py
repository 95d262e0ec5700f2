"""Buckets of MPNet's bias by distance and frequencies of rotary positions, from transformers, written to tests/golden/positions.json.

Run from anywhere, with the versions of scripts/requirements-golden.txt.
"""

import json

import torch
from golden_texts import ROOT
from published_models import PublishedGteConfig, StretchedRotaryEmbedding
from transformers import NomicBertConfig
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder
from transformers.models.nomic_bert.modeling_nomic_bert import NomicBertRotaryEmbedding

LONGEST = 300


def buckets(n_buckets: int, max_distance: int) -> list[int]:
    """Of the distances -LONGEST to LONGEST: where the key stands, less where the query stands."""
    distances = torch.arange(-LONGEST, LONGEST + 1)
    return MPNetEncoder.relative_position_bucket(distances, num_buckets=n_buckets, max_distance=max_distance).tolist()


def frequencies(base: float, head_size: int) -> list[float]:
    config = NomicBertConfig(
        hidden_size=head_size, num_attention_heads=1, rope_parameters={"rope_type": "default", "rope_theta": base}
    )
    return NomicBertRotaryEmbedding.compute_default_rope_parameters(config)[0].tolist()


def stretched(base: float, factor: float, head_size: int) -> list[float]:
    config = PublishedGteConfig.from_dict(
        {
            "hidden_size": head_size,
            "num_attention_heads": 1,
            "rope_theta": base,
            "rope_scaling": {"type": "ntk", "factor": factor},
        }
    )
    return StretchedRotaryEmbedding.compute_default_rope_parameters(config)[0].tolist()


if __name__ == "__main__":
    golden = {
        "buckets": [
            {"n_buckets": n, "max_distance": longest, "buckets": buckets(n, longest)}
            for n, longest in [(32, 128), (8, 128), (64, 256)]
        ],
        "frequencies": [
            {"base": base, "stretch": 1.0, "head_size": size, "frequencies": frequencies(base, size)}
            for base, size in [(1000.0, 64), (10000.0, 8), (160000.0, 64)]
        ]
        + [
            {"base": base, "stretch": factor, "head_size": size, "frequencies": stretched(base, factor, size)}
            for base, factor, size in [(500000.0, 2.0, 64), (20000.0, 8.0, 64)]
        ],
    }
    rows = [f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, cases)) + "\n ]" for name, cases in golden.items()]
    (ROOT / "tests/golden/positions.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
