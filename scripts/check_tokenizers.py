#!/usr/bin/env python3
"""Tokenizer shapes of the model families, made and tokenized by the Python package `tokenizers`.

Trains a small tokenizer for each family's pipeline (normalizer, pre-tokenizer, model, post-processor and decoder as
in the family's tokenizer.json) and writes what lowbit is compared with:

  check_tokenizers.py check --text FILE... --test build/tests/test_text
      a megabyte of mixed Unicode for each shape, encoded and decoded here and by lowbit; exit 1 on any difference
  check_tokenizers.py fixtures --text FILE... --out tests/text/data
      the small tokenizers, text and ids that the tests use without Python

--text: UTF-8 text to train on (public domain: what it contains ends up in the fixtures). Needs `tokenizers` 0.20+.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

import numpy
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPACE = "\u2581"


def added(id, content, special=True, normalized=False, **flags):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": normalized, "special": special}
    token.update(flags)
    return token


def parts(tokenizer):
    """normalizer, pre-tokenizer, post-processor and decoder as JSON values."""
    state = json.loads(tokenizer.to_str())
    return {key: state[key] for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")}


def assemble(model, pipeline, added_tokens):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
            **pipeline, "model": model}


def byte_level(lines, size, pre, specials, normalizer=None, bos=None, ignore_merges=False, extra=()):
    """GPT-2's family: BPE over bytes written as characters."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    steps = [processors.ByteLevel(trim_offsets=False)]
    if bos:
        steps.append(processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                                   special_tokens=[(bos, tokenizer.token_to_id(bos))]))
    tokenizer.post_processor = processors.Sequence(steps) if bos else steps[0]
    model = json.loads(tokenizer.to_str())["model"]
    model["ignore_merges"] = ignore_merges
    tokens = [added(i, s) for i, s in enumerate(specials)]
    tokens += [added(len(model["vocab"]) + i, **token) for i, token in enumerate(extra)]
    return assemble(model, parts(tokenizer), tokens)


def sentencepiece_like(lines, size, pipeline, controls, extra=()):
    """Llama's family: pieces with scores, byte pieces, and as merges every way to make a piece from two others."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    made = ["".join(m) if isinstance(m, list) else m.replace(" ", "") for m in model["merges"]]
    characters = sorted(set(model["vocab"]) - set(made), key=model["vocab"].get)
    pieces = list(controls) + [f"<0x{byte:02X}>" for byte in range(256)]
    learned = list(dict.fromkeys(made)) + characters
    rank = {piece: i for i, piece in enumerate(learned)}
    vocab = {piece: i for i, piece in enumerate(pieces + learned)}
    merges = []
    for piece in learned:
        merges += [[piece[:cut], piece[cut:]] for cut in range(1, len(piece)) if piece[:cut] in rank and piece[cut:] in rank]
    for token in extra:
        vocab.setdefault(token["content"], len(vocab))
    tokens = [added(i, s) for i, s in enumerate(controls)]
    tokens += [added(vocab[token["content"]], **token) for token in extra]
    value = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
             "vocab": vocab, "merges": merges}
    return assemble(value, pipeline, sorted(tokens, key=lambda t: t["id"]))


def metaspace_parts(normalizer, pre, bos, bos_id, strip):
    holder = Tokenizer(models.BPE())
    if normalizer:
        holder.normalizer = normalizer
    if pre:
        holder.pre_tokenizer = pre
    holder.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                                          special_tokens=[(bos, bos_id)])
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    holder.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] if strip else steps)
    return parts(holder)


def shapes(lines, size):
    """name -> tokenizer.json as a value, one for each family's pipeline."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    only_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def split(pattern):
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), only_bytes])

    chat = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    out = {}
    out["smollm2"] = byte_level(lines, size, pre_tokenizers.Sequence([digits, gpt2]), chat)
    out["llama3"] = byte_level(lines, size, split(LLAMA3), ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
                               bos="<|begin_of_text|>", ignore_merges=True)
    out["mistral-nemo"] = byte_level(lines, size, split(TEKKEN), ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
                                     bos="<s>", ignore_merges=True)
    out["qwen2"] = byte_level(lines, size, split(QWEN2), chat, normalizer=normalizers.NFC(),
                              extra=[dict(content="<tool_call>", special=False)])
    out["flags"] = byte_level(
        lines, size, pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>"],
        extra=[dict(content="<mask>", lstrip=True), dict(content="<right>", rstrip=True),
               dict(content="<both>", lstrip=True, rstrip=True, special=False),
               dict(content="word", single_word=True, special=False),
               dict(content="Whale", normalized=True, special=False)])
    legacy = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    controls = ["<unk>", "<s>", "</s>"]
    out["llama2"] = sentencepiece_like(lines, size, metaspace_parts(legacy, None, "<s>", 1, True), controls)
    first = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    out["mistral-v3"] = sentencepiece_like(lines, size, metaspace_parts(None, first, "<s>", 1, True),
                                           controls + ["[INST]", "[/INST]"])
    gemma = metaspace_parts(normalizers.Replace(" ", SPACE), pre_tokenizers.Split(" ", "merged_with_previous"),
                            "<bos>", 2, False)
    out["gemma3"] = sentencepiece_like(
        lines, size, gemma, ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
        extra=[dict(content="\n" * n, special=False) for n in (2, 3, 4)] +
        [dict(content=SPACE * n, special=False) for n in (2, 3, 4)] + [dict(content="<h1>", special=False)])

    # A BPE over whole texts, its pieces reaching across spaces, special tokens looked for after normalization.
    whole = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    whole.normalizer = legacy
    whole.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>", "<s>", "</s>"],
                                                         show_progress=False, max_token_length=12))
    out["whole-text"] = assemble(json.loads(whole.to_str())["model"], metaspace_parts(legacy, None, "<s>", 1, True),
                                 [added(i, s, normalized=True) for i, s in enumerate(["<unk>", "<s>", "</s>"])])

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    unigram.decoder = decoders.Metaspace(prepend_scheme="always")
    unigram.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=size, special_tokens=["<unk>", "</s>"],
                                                               unk_token="<unk>", show_progress=False))
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                           special_tokens=[("</s>", 1)])
    state = json.loads(unigram.to_str())
    out["unigram"] = assemble(state["model"], parts(unigram), [added(0, "<unk>"), added(1, "</s>")])
    return out


def newer_mark(point):
    """A combining mark that the peer's normalizer does not know: it leaves the mark before one of a lower class."""
    if unicodedata.combining(chr(point)) < 2:
        return False
    return normalizers.NFC().normalize_str(f"\u00d8{chr(point)}\u0334") == f"\u00d8{chr(point)}\u0334"


def mixed_text(lines, length, seed):
    """Natural lines between random runs of every assigned block, spaces, digits, marks, emoji and control tokens."""
    draw = random.Random(seed)
    # Unassigned code points differ between Unicode versions; surrogates are not text.
    points = [c for c in range(0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co") and not newer_mark(c)]
    blocks = {}
    for c in points:
        blocks.setdefault(c >> 7, []).append(c)
    common = [b for b in blocks if b < 0x30] + [0x3040 >> 7, 0x4E00 >> 7, 0xAC00 >> 7, 0x1F600 >> 7]
    spaces = [" ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "\u180e", "\u2028", "\x85", " \n ",
              "    ", "\v", "\f", "\x00"]
    special = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<bos>", "[INST]", "<tool_call>", "<h1>",
               " <mask> ", "<right>  ", " <both> ", "word", "words", " word ", "Whale", SPACE, SPACE * 2, "<0x0A>", "<0x41>"]
    contractions = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'D", "\u2019s", "'\u017f"]
    out = []
    size = 0
    while size < length:
        kind = draw.randrange(10)
        if kind < 4:
            piece = draw.choice(lines)
        elif kind == 4:
            block = blocks[draw.choice(common if draw.random() < 0.7 else list(blocks))]
            piece = "".join(chr(draw.choice(block)) for _ in range(draw.randrange(1, 12)))
        elif kind == 5:
            piece = draw.choice(spaces) * draw.randrange(1, 4)
        elif kind == 6:
            piece = draw.choice(special)
        elif kind == 7:
            piece = "".join(draw.choice("0123456789\u0663\u00bd\u2167\uff15.,-+") for _ in range(draw.randrange(1, 9)))
        elif kind == 8:
            piece = draw.choice("aeicnouAEO") + "".join(chr(draw.randrange(0x300, 0x330)) for _ in range(draw.randrange(0, 4)))
            piece += draw.choice(contractions)
        else:
            piece = draw.choice(["\U0001F468\u200d\U0001F469\u200d\U0001F467", "\U0001F1E9\U0001F1EA", "\u2764\ufe0f", "\u1100\u1161\u11a8",
                                 "\ufb01", "\u212b", "e\u0301", "!!", "...", "?!\n", "//", "--", "\u2026"])
        out.append(piece)
        out.append(draw.choice(["", " ", " ", "\n"]))
        size += len((out[-1] + piece).encode())
    return "".join(out)


def read_lines(paths, limit):
    lines = []
    size = 0
    for path in paths:
        for line in pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            line = line.strip()
            if line and size < limit:
                lines.append(line)
                size += len(line)
    return lines


def check(arguments):
    lines = read_lines(arguments.text, 3_000_000)
    text = mixed_text(lines, 1_000_000, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        for name, value in shapes(lines, 6000).items():
            case = pathlib.Path(folder) / name
            case.mkdir()
            (case / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")
            tokenizer = Tokenizer.from_str(json.dumps(value))
            ids = tokenizer.encode(text).ids
            (case / "text.txt").write_bytes(text.encode())
            (case / "ids.bin").write_bytes(numpy.array(ids, dtype=numpy.int32).tobytes())
            # tokenizers 0.23 decodes normalized special tokens as their normalized form (a space more) and does not skip
            # them; lowbit gives their names.
            if not any(token["normalized"] and token["special"] for token in value["added_tokens"]):
                (case / "decoded.txt").write_bytes(tokenizer.decode(ids, skip_special_tokens=False).encode())
            print(f"{name}: {len(text.encode())} bytes, {len(ids)} tokens", flush=True)
        run = subprocess.run([arguments.test, "--gtest_filter=TokenizerPeer.*"],
                             env={**os.environ, "LOWBIT_TOKENIZER_CASES": folder}, check=False)
        if arguments.keep:
            subprocess.run(["cp", "-r", folder, arguments.keep], check=True)
    return run.returncode


def fixtures(arguments):
    lines = read_lines(arguments.text, 60_000)
    out = pathlib.Path(arguments.out)
    text = mixed_text(lines, 2500, seed=2)
    (out / "mixed.txt").write_bytes(text.encode())
    for name, value in shapes(lines, 700).items():
        tokenizer = Tokenizer.from_str(json.dumps(value))
        ids = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        (out / f"{name}.tokenizer.json").write_text(
            json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        expected = {"ids": ids, "plain_ids": plain, "decoded": tokenizer.decode(plain, skip_special_tokens=False)}
        (out / f"{name}.expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["check", "fixtures"])
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--test", default="build/tests/test_text")
    parser.add_argument("--out", default="tests/text/data")
    parser.add_argument("--keep", help="copy the cases into this new folder")
    arguments = parser.parse_args()
    return check(arguments) if arguments.command == "check" else fixtures(arguments)


if __name__ == "__main__":
    sys.exit(main())
