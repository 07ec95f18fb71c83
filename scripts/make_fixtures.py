"""Make fixtures/models/ from published configs and header layouts: offline, and without hubvram's own architecture.

    python -m scripts.make_fixtures --corpus FOLDER

FOLDER holds `repos/<org>__<name>/{config.json,headers.json.xz}` (complete safetensors headers as
`{file: {tensor: [dtype, shape]}}`) and `manifest.json` with the totals that the Hub publishes. What is
written is compact and is checked to expand to the same headers.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

from hubvram.sources.snapshot import StoredTensor, expand

Headers = Mapping[str, Mapping[str, Any]]

FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "models"
AS_OF: Final = "2026-10"

CONFIG_KEYS: Final = frozenset(
    # What describes the model; what only training, sampling or tokenizing reads is left out.
    """architectures model_type vocab_size hidden_size intermediate_size num_hidden_layers
    num_attention_heads num_key_value_heads head_dim hidden_act hidden_activation activation_function
    max_position_embeddings attention_bias mlp_bias tie_word_embeddings torch_dtype sliding_window
    sliding_window_pattern use_sliding_window max_window_layers num_local_experts num_experts
    num_experts_per_tok moe_intermediate_size decoder_sparse_step mlp_only_layers n_ctx n_embd n_head
    n_inner n_layer n_positions rotary_pct partial_rotary_factor use_parallel_residual use_bias
    use_qkv_bias qkv_bias use_qk_norm qk_layernorm lm_head_bias shared_expert_intermediate_size
    n_routed_experts n_shared_experts first_k_dense_replace num_nextn_predict_layers
    attn_logit_softcapping final_logit_softcapping transformers_version
    kv_lora_rank q_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim moe_layer_freq topk_method
    quantization_config layer_types state_size expand conv_kernel time_step_rank use_conv_bias
    d_model d_kv d_ff num_layers
    num_decoder_layers num_heads relative_attention_num_buckets feed_forward_proj is_encoder_decoder
    type_vocab_size vision_config encoder_layers decoder_layers encoder_attention_heads decoder_attention_heads
    encoder_ffn_dim decoder_ffn_dim max_source_positions max_target_positions num_mel_bins
    """.split()  # noqa: SIM905  (so many names read better as text)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What others say about a repo: the commit, the size of its files, its parameters."""

    repo: str
    revision: str
    file_bytes: int | None = None
    """All weight files together, as listings of the repo (mirrors, download logs) state it."""
    legacy_id: str | None = None
    """The bare name from before the Hub had organisations."""
    parameters: int | None = None
    parameters_at: str = ""
    total_is_logical: bool = False
    """Whether the Hub's total counts weights where an element holds several."""


PUBLISHED: Final = (
    Published(repo="meta-llama/Llama-3.1-70B", revision="349b2ddb53ce8f2849a6c168a81980ab25258dac"),
    Published(repo="meta-llama/Llama-3.1-8B", revision="d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"),
    Published(repo="meta-llama/Llama-3.2-1B-Instruct", revision=""),
    Published(
        repo="mistralai/Mistral-7B-v0.1",
        revision="27d67f1b5f57dc0953326b2601d68371d40ea8da",
        file_bytes=14_483_498_040,
    ),
    Published(
        repo="mistralai/Mixtral-8x7B-v0.1",
        revision="fc7ac94680e38d7348cfa806e51218e6273104b0",
        file_bytes=93_405_713_504,
    ),
    Published(repo="Qwen/Qwen2.5-0.5B", revision=""),
    Published(
        repo="Qwen/Qwen2.5-72B",
        revision="efba10c8e54e91e0d9570ab5f7b51a958474d4cb",
        file_bytes=145_412_518_888,
    ),
    Published(
        repo="Qwen/Qwen3-0.6B",
        revision="c1899de289a04d12100db370d81485cdf75e47ca",
        file_bytes=1_503_300_328,
        parameters=596_049_920,
        parameters_at="model card: 0.6B, 0.44B without embedding; the published head repeats the tied embedding",
    ),
    Published(repo="Qwen/Qwen3-30B-A3B", revision="ad44e777bcd18fa416d9da3bd8f70d33ebb85d39"),
    Published(repo="google/gemma-7b", revision="ff6768d9368919a1f025a54f9f5aa0ee591730bb", file_bytes=17_075_391_360),
    Published(
        repo="google/gemma-2-2b",
        revision="c5ebcd40d208330abc697524c919956e692655cf",
        file_bytes=10_457_400_944,
    ),
    Published(
        repo="google/gemma-3-1b-it",
        revision="dcc83ea841ab6100d6b47a070329e1ba4cf78752",
        file_bytes=1_999_811_208,
    ),
    Published(
        repo="microsoft/Phi-3-mini-4k-instruct",
        revision="f39ac1d28e925b323eae81227eaba4464caced4e",
        file_bytes=7_642_181_880,
    ),
    Published(
        repo="openai-community/gpt2",
        legacy_id="gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        file_bytes=548_105_171,
        parameters=124_439_808,
        parameters_at="model card: 124M; GPT2LMHeadModel(GPT2Config()).num_parameters() of transformers",
    ),
    Published(
        repo="deepseek-ai/DeepSeek-V3",
        revision="",
        parameters=684_489_845_504,
        parameters_at="model card: 671B and 14B of the module for multi-token prediction; the total has scales too",
    ),
    Published(
        repo="openai/gpt-oss-20b",
        revision="",
        parameters_at="the Hub's total: two weights a byte of MXFP4, scales not counted",
        total_is_logical=True,
    ),
    Published(repo="state-spaces/mamba-130m-hf", revision=""),
    Published(repo="google-t5/t5-small", revision=""),
    Published(repo="openai/whisper-tiny", revision=""),
    Published(
        repo="BAAI/bge-large-en-v1.5",
        revision="",
        parameters=335_142_400 - 512,
        parameters_at="the Hub's total counts 512 position ids",
    ),
    Published(repo="Qwen/Qwen2-VL-7B-Instruct", revision=""),
    Published(repo="zai-org/GLM-4.5", revision=""),
    Published(repo="CohereLabs/c4ai-command-r-v01", revision=""),
    Published(repo="allenai/OLMo-2-1124-7B", revision=""),
    Published(repo="bigcode/starcoder2-3b", revision=""),
    Published(repo="ibm-granite/granite-3.1-1b-a400m-instruct", revision=""),
    Published(repo="ibm-granite/granite-3.3-2b-instruct", revision=""),
    Published(repo="microsoft/Phi-3.5-MoE-instruct", revision=""),
    Published(repo="microsoft/phi-1_5", revision=""),
    Published(repo="Qwen/Qwen2-57B-A14B-Instruct", revision=""),
    Published(repo="stabilityai/stablelm-3b-4e1t", revision=""),
    Published(
        repo="EleutherAI/pythia-160m",
        revision="50f5173d932e8e61f858120bcb800b97af589f46",
        parameters=162_322_944,
        parameters_at="model card of EleutherAI/pythia-160m: total params 162,322,944",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the folder with repos/ and manifest.json")
    parser.add_argument("--output", type=Path, default=FIXTURES)
    options = parser.parse_args(arguments)
    rows = {row["repo"]: row for row in json.loads((options.corpus / "manifest.json").read_text())}
    for published in PUBLISHED:
        write_fixture(published, rows[published.repo], options.corpus, options.output)


def write_fixture(published: Published, row: Mapping[str, Any], corpus: Path, output: Path) -> None:
    """config.json, headers.json and expected.json of one repo."""
    folder = corpus / "repos" / published.repo.replace("/", "__")
    config = json.loads((folder / "config.json").read_text())
    headers = json.loads(lzma.decompress((folder / "headers.json.xz").read_bytes()))
    layout = compact(headers)
    if expand(layout) != _as_tensors(headers, layout):
        raise SystemExit(f"{published.repo}: the compact layout does not expand to the published headers")
    total = row["published_params_total"]
    expected = {
        "repo": published.repo,
        "legacy_id": published.legacy_id,
        "revision": published.revision or None,
        "as_of": AS_OF,
        "published_total": total,
        "published_total_is_logical": published.total_is_logical,
        "published_file_bytes": published.file_bytes,
        "published_at": f"https://huggingface.co/api/models/{published.repo}?expand[]=safetensors",
        "parameters": published.parameters or total,
        "parameters_at": published.parameters_at or "the same: every stored element is a parameter",
    }
    target = output / published.repo.replace("/", "--")
    target.mkdir(parents=True, exist_ok=True)
    _write(target / "config.json", json.dumps({k: v for k, v in config.items() if k in CONFIG_KEYS}, indent=1))
    _write(target / "headers.json", _dump_layout(layout))
    _write(target / "expected.json", json.dumps(expected, indent=1))


def compact(headers: Headers) -> dict[str, Any]:
    """Complete headers -> the layout that `hubvram.sources.snapshot.expand` reads."""
    shard_of = {name: number for number, tensors in enumerate(headers.values()) for name in _names(tensors)}
    entries = {name: value for tensors in headers.values() for name, value in tensors.items()}
    metadata = entries.pop("__metadata__", None) or {}
    dtypes = [dtype for dtype, _ in entries.values()]
    dtype = max(set(dtypes), key=dtypes.count)
    items = _fold(_order(entries, shard_of), {name: _entry(name, entries[name], dtype) for name in entries})
    return {
        "metadata": metadata,
        "dtype": dtype,
        "tensors": items,
        "files": [_numbered(list(headers)), [len(list(_names(tensors))) for tensors in headers.values()]],
    }


def _numbered(files: Sequence[str]) -> str:
    """`model-{:05d}-of-00030.safetensors`: one name for all files, which count from 1."""
    name = re.sub(r"\d+(?=-of-)", lambda digits: f"{{:0{len(digits[0])}d}}", files[0])
    if [name.format(place) for place in range(1, len(files) + 1)] != list(files):
        raise SystemExit(f"{files[0]}: the files do not count from 1")
    return name


def _names(tensors: Mapping[str, Any]) -> Iterable[str]:
    return (name for name in tensors if name != "__metadata__")


def _entry(name: str, value: Any, dtype: str) -> list[Any]:
    own, shape = value
    return [name, shape] if own == dtype else [name, shape, own]


_INDEX: Final = re.compile(r"(?<=\.)(\d+)(?=\.)|^(\d+)(?=\.)")


def _template(name: str) -> tuple[str, tuple[int, ...]]:
    """`model.layers.3.mlp.experts.7.w1.weight` -> (`model.layers.{}.mlp.experts.{}.w1.weight`, (3, 7))."""
    indices = tuple(int(match[0]) for match in _INDEX.finditer(name))
    return _INDEX.sub("{}", name), indices


def _order(entries: Mapping[str, Any], shard_of: Mapping[str, int]) -> list[str]:
    """The order of saving, as far as the cuts between shards show it: shard by shard, layer by layer."""
    outer = _spans(entries, shard_of, depth=0)
    inner = {depth: _spans(entries, shard_of, depth=depth) for depth in (1, 2)}
    rank = {key: place for place, key in enumerate(_sorted_by_cuts(outer))}
    ranks = {depth: {key: place for place, key in enumerate(_sorted_by_cuts(spans))} for depth, spans in inner.items()}

    def key(name: str) -> tuple[Any, ...]:
        template, indices = _template(name)
        parts: list[Any] = [shard_of[name], rank[_group(template, 0)]]
        for depth, index in enumerate(indices, start=1):
            parts += [index, ranks[depth][_group(template, depth)]]
        return tuple(parts)

    return sorted(entries, key=key)


def _group(template: str, depth: int) -> str:
    """What a template is at this depth of repetition: everything up to its next index."""
    pieces = template.split("{}")
    return "{}".join(pieces[: depth + 1]) + ("{}" if len(pieces) > depth + 1 else "")


def _spans(entries: Mapping[str, Any], shard_of: Mapping[str, int], depth: int) -> dict[str, dict[Any, list[int]]]:
    """Group -> the repetition it stands in -> the shards it is stored in."""
    spans: dict[str, dict[Any, list[int]]] = {}
    for name in entries:
        template, indices = _template(name)
        if len(indices) >= depth:
            spans.setdefault(_group(template, depth), {}).setdefault(indices[:depth], []).append(shard_of[name])
    return spans


def _sorted_by_cuts(spans: Mapping[str, Mapping[Any, Sequence[int]]]) -> list[str]:
    """Groups in the order that the cuts prove; alphabetical where no cut separates them."""
    sorter: TopologicalSorter[str] = TopologicalSorter({group: set() for group in sorted(spans)})
    for left in spans:
        for right in spans:
            shared = spans[left].keys() & spans[right].keys()
            if left != right and any(_before(spans[left][at], spans[right][at]) for at in shared):
                sorter.add(right, left)
    return list(sorter.static_order())


def _before(left: Sequence[int], right: Sequence[int]) -> bool:
    return max(left) <= min(right) and min(left) < max(right)


def _fold(names: Sequence[str], entries: Mapping[str, list[Any]]) -> list[Any]:
    """Names in order -> items, with `{"repeat": n, "tensors": [...]}` for what repeats."""
    return _fold_level([(_template(name), entries[name][1:]) for name in names], depth=0)


def _fold_level(rows: Sequence[tuple[tuple[str, tuple[int, ...]], list[Any]]], depth: int) -> list[Any]:
    items: list[Any] = []
    position = 0
    while position < len(rows):
        (template, indices), rest = rows[position]
        if len(indices) == depth:
            items.append([template, *rest])
            position += 1
            continue
        group = _group(template, depth)
        end = position
        while end < len(rows) and len(rows[end][0][1]) > depth and _group(rows[end][0][0], depth) == group:
            end += 1
        items.extend(_repeat(rows[position:end], depth))
        position = end
    return items


def _repeat(rows: Sequence[tuple[tuple[str, tuple[int, ...]], list[Any]]], depth: int) -> Iterable[dict[str, Any]]:
    """Runs of equal repetitions: all layers of most models, or the dense ones, then those with experts."""
    bodies: dict[int, list[tuple[tuple[str, tuple[int, ...]], list[Any]]]] = {}
    for row in rows:
        bodies.setdefault(row[0][1][depth], []).append(row)
    runs: list[dict[str, Any]] = []
    for index, body in bodies.items():
        tensors = _fold_level(body, depth + 1)
        last = runs[-1] if runs else None
        if last and last["from"] + last["repeat"] == index and last["tensors"] == tensors:
            last["repeat"] += 1
        else:
            runs.append({"from": index, "repeat": 1, "tensors": tensors})
    return ({key: run[key] for key in run if key != "from" or run[key]} for run in runs)


def _as_tensors(headers: Headers, layout: Mapping[str, Any]) -> dict[str, tuple[StoredTensor, ...]]:
    """The headers in the layout's order within each file: what `expand` must give."""
    order = {tensor.name: place for tensors in expand(layout).values() for place, tensor in enumerate(tensors)}
    return {
        file: tuple(
            StoredTensor(name=name, dtype=tensors[name][0], shape=tuple(tensors[name][1]))
            for name in sorted(_names(tensors), key=lambda name: order.get(name, -1))
        )
        for file, tensors in headers.items()
    }


def _dump_layout(layout: Mapping[str, Any]) -> str:
    """One tensor or one repetition a line, so that a difference shows as a line."""
    lines = [f'"metadata": {json.dumps(layout["metadata"])}', f'"dtype": {json.dumps(layout["dtype"])}']
    lines.append('"tensors": [\n' + ",\n".join(_dump_items(layout["tensors"], "  ")) + "\n ]")
    lines.append(f'"files": {json.dumps(layout["files"])}')
    return "{\n " + ",\n ".join(lines) + "\n}"


def _dump_items(items: Sequence[Any], indent: str) -> Iterable[str]:
    for item in items:
        if isinstance(item, dict):
            inner = ",\n".join(_dump_items(item["tensors"], indent + "  "))
            start = f'"from": {item["from"]}, ' if "from" in item else ""
            yield f'{indent}{{{start}"repeat": {item["repeat"]}, "tensors": [\n{inner}\n{indent}]}}'
        else:
            yield indent + json.dumps(item)


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
