#!/usr/bin/env python3
"""What SmolLM2-135M-Instruct gives in Python, for tests/smollm2_test.cc.

  make_smollm2_fixtures.py MODEL.gguf --text models/gutenberg/heldout.txt --out tests/data/smollm2.json

MODEL.gguf is the file of scripts/fetch_smollm2.sh. Writes, for the first --bytes of the text:
  texts       strings and their ids from the package `tokenizers`, with the file's vocabulary and merges in the pipeline
              published for the model (single digits, then GPT-2's byte-level pre-tokenizer)
  tokens, nats, argmax
              ids of the text, -log p of every token but the first and the likeliest next token at every position, by
              `transformers` in f32 on the dequantized weights, in windows of --window tokens
Needs transformers, torch, tokenizers and gguf.
"""
import argparse
import json
import pathlib

import gguf
import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "In 1984, 3.14159 was not 2.71828; call +44 20 7946 0958!",
    "def f(x):\n    return {'a': x ** 2}\n\n\n\t# tab",
    "<|im_start|>user\nHello<|im_end|>\n",
    "Zwölf Boxkämpfer jagen Viktor; \u4f60\u597d\uff0c\u4e16\u754c \U0001f600 \u0645\u0631\u062d\u0628\u0627 e\u0301",
    "  leading, trailing  ",
    "it's we'll THEY'RE don't",
    "",
]


def tokenizer_of(reader):
    field = {key: reader.fields["tokenizer.ggml." + key].contents() for key in ("tokens", "merges", "token_type")}
    vocabulary = {token: id for id, token in enumerate(field["tokens"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(m.split(" ")) for m in field["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(field["tokens"], field["token_type"]) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens(control)
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--bytes", type=int, default=3000)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()

    tokenizer = tokenizer_of(gguf.GGUFReader(options.model))
    text = options.text.read_bytes()[:options.bytes].decode(errors="ignore")
    tokens = tokenizer.encode(text).ids
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model.parent, gguf_file=options.model.name, dtype=torch.float32).eval()
    nats, argmax = [], []
    with torch.no_grad():
        for begin in range(0, len(tokens), options.window):
            ids = torch.tensor(tokens[begin:begin + options.window])
            logits = model(ids[None]).logits[0].double()
            argmax += logits.argmax(-1).tolist()
            nats += (-logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]).tolist()
    out = {
        "made_by": f"scripts/make_smollm2_fixtures.py, transformers {transformers.__version__}, "
                   f"torch {torch.__version__.split('+')[0]}, tokenizers {tokenizers.__version__}",
        "texts": [{"text": t, "ids": tokenizer.encode(t).ids} for t in TEXTS],
        "text_bytes": len(text.encode()), "window": options.window, "tokens": tokens,
        "nats": [round(x, 5) for x in nats], "argmax": argmax,
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in out.items())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("{" + lines + "}\n")
    print(f"{len(tokens)} tokens, {sum(nats) / len(nats):.5f} nats per token")


if __name__ == "__main__":
    main()
