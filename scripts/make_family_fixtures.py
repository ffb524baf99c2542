#!/usr/bin/env python3
"""Makes tests/model/data/families: tiny random models of every family and the logits of the Python package
transformers for them, so that the test needs no Python.

  python3 scripts/make_family_fixtures.py tests/model/data/families     (needs torch, transformers, safetensors)

A model is a Hugging Face folder with weights in bf16 (exact in f32); tokens.json holds 300 ids, logits.f32 the
logits of all positions in f32, little-endian."""
import json, os, shutil, sys
import torch
from transformers import (Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

BASE = dict(vocab_size=24, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
            pad_token_id=0)


def rope(**fields):
    return dict(rope_parameters=dict(rope_theta=10000.0, **fields))


CASES = {
    "llama-tied": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=True)),
    "llama-untied-bias": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True)),
    "llama-head-size": (LlamaConfig, LlamaForCausalLM, dict(head_dim=16)),
    "rope-linear": (LlamaConfig, LlamaForCausalLM, rope(rope_type="linear", factor=4.0)),
    "rope-dynamic": (LlamaConfig, LlamaForCausalLM, dict(max_position_embeddings=128, **rope(rope_type="dynamic", factor=2.0))),
    "rope-yarn": (LlamaConfig, LlamaForCausalLM, rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)),
    "rope-llama3": (LlamaConfig, LlamaForCausalLM, rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)),
    "rope-longrope": (LlamaConfig, LlamaForCausalLM, rope(rope_type="longrope", factor=4.0, original_max_position_embeddings=128, short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.5, 2.0, 3.0, 4.0])),
    "mistral-window": (MistralConfig, MistralForCausalLM, dict(sliding_window=40, tie_word_embeddings=False)),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, dict(tie_word_embeddings=True)),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, dict(tie_word_embeddings=True, head_dim=16)),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, dict(head_dim=16, sliding_window=32, num_hidden_layers=6, query_pre_attn_scalar=16)),
}


def main(out):
    for i, (name, (config_class, model_class, fields)) in enumerate(CASES.items()):
        torch.manual_seed(100 + i)
        config = config_class(**{**BASE, **fields})
        config._attn_implementation = "eager"
        model = model_class(config).eval().float()
        with torch.no_grad():
            for key, p in model.named_parameters():
                p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.2))
                if p.dim() == 1 and "norm" in key and "gemma" not in name:
                    p.add_(1.0)
                p.copy_(p.to(torch.bfloat16).float())
        model.tie_weights()
        tokens = torch.randint(3, 24, (1, 300))
        with torch.no_grad():
            logits = model(tokens, use_cache=False).logits[0].float()
        folder = os.path.join(out, name)
        shutil.rmtree(folder, ignore_errors=True)
        model.to(torch.bfloat16).save_pretrained(folder)
        # What was computed is f32: the configuration says so, the weights in bf16 are the same numbers.
        path = os.path.join(folder, "config.json")
        saved = json.load(open(path))
        for key in ("dtype", "torch_dtype"):
            if key in saved:
                saved[key] = "float32"
        json.dump(saved, open(path, "w"), indent=1)
        for extra in ("generation_config.json",):
            if os.path.exists(os.path.join(folder, extra)):
                os.remove(os.path.join(folder, extra))
        json.dump(tokens[0].tolist(), open(os.path.join(folder, "tokens.json"), "w"))
        open(os.path.join(folder, "logits.f32"), "wb").write(logits.numpy().astype("<f4").tobytes())
        print(name, float(logits.abs().max()))


if __name__ == "__main__":
    main(sys.argv[1])
