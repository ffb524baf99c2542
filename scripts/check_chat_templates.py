#!/usr/bin/env python3
"""Chat templates rendered by Python's jinja2 with the settings of Hugging Face's apply_chat_template.

  check_chat_templates.py fixtures                      writes tests/text/data/chat/<family>.expected.json
  check_chat_templates.py check --test PROGRAM DIR...   renders every *.jinja of the folders on all conversations here
                                                        and by lowbit (test_text); exit 1 on any difference

Each case is a template, its variables and the text, or that rendering fails. Needs `jinja2` 3.1.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/text/data/chat"
NOW = time.strptime("2025-03-09 14:05:06", "%Y-%m-%d %H:%M:%S")

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a place <now> & \"later\"",
    "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "Zürich, 北京 …"},
                                                    "days": {"type": "integer", "minimum": 1, "enum": [1, 2.5, None, True]}},
                   "required": ["place"]}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(identifier="abcdefghi", name="weather", **arguments):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(text, identifier="abcdefghi"):
    return {"role": "tool", "content": text, "tool_call_id": identifier, "name": "weather"}


# (messages, further variables)
CONVERSATIONS = [
    ([user("Hello!")], {}),
    ([system("You are terse."), user("What is 2 + 2?")], {}),
    ([user("One"), assistant("Two"), user("Three")], {}),
    ([system("  Be kind.\n"), user("  spaces around  \n"), assistant("\n\n kept? \n"), user("\tyes\n\n")], {}),
    ([user("Grüße, 世界 \U0001F600 e\u0301 \u00a0\u2003end\u3000")], {}),
    ([user("Say 'quoted' and \"double\" \\ back\\n"), assistant("{{ not a template }} {% if %} {# no #}"), user("<|im_end|>")], {}),
    ([user("Code:\n```python\n    x = {'a': 1}\n\n\n```\n"), assistant("ok", name="bot"), user("thanks")], {"add_generation_prompt": False}),
    ([user(""), assistant(""), user("not empty")], {}),
    ([system(""), user("an empty system message")], {}),
    ([user("Think."), assistant("<think>\nhm\n\nwell\n</think>\n\nDone."), user("Again."), assistant("<think>x</think>\nEnd.")],
     {"add_generation_prompt": False}),
    ([user("Quick"), assistant("A", reasoning_content="because\n"), user("So?"), assistant("B", reasoning_content="since")],
     {"enable_thinking": False}),
    ([user("No thinking")], {"enable_thinking": False}),
    ([user("Weather?")], {"tools": [TOOL]}),
    ([system("Use tools."), user("Weather in Zürich?"), assistant("", tool_calls=[call(place="Zürich", days=2)]), tool("sunny & 21.5°"),
      assistant("Sunny."), user("Thanks")], {"tools": [TOOL, TOOL]}),
    ([user("Two calls"), assistant("First", tool_calls=[call(place="A"), call("jklmnopqr", place="B", more={"x": [1.0, 1e-7, 1e16, None]})]),
      tool("1"), tool("2", "jklmnopqr")], {"tools": [TOOL]}),
    ([user("Tool without tools"), assistant("x", tool_calls=[call(place="A")]), tool("plain")], {}),
    ([user("a"), user("b")], {}),
    ([assistant("first")], {}),
    ([user([{"type": "text", "text": " part one "}, {"type": "image"}, {"type": "text", "text": "part two"}])], {}),
    ([system("s"), user("q" * 50), assistant("a\r\nb\rc"), user("\u2028 line \u0085 ends \x1c")], {}),
]


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the assistant writes; the text is unchanged."""
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: time.strftime(form, NOW)
    return env


def render(env, source, variables):
    """A case: what the template makes of the variables."""
    try:
        return {"variables": variables, "text": env.from_string(source).render(**variables)}
    except Exception as error:  # pylint: disable=broad-except  # a template may fail in any way
        return {"variables": variables, "error": f"{type(error).__name__}: {error}"}


def cases(source):
    env = environment()
    out = []
    for messages, more in CONVERSATIONS:
        variables = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True,
                     "bos_token": "<s>", "eos_token": "</s>"}
        variables.update(more)
        out.append(render(env, source, variables))
    return out


def snippets():
    """Small templates, one for each construct of the language."""
    variables = {"xs": [3, 1, 2], "words": ["b", "A", "c"], "d": {"k": "v", "items": 1, "n": None}, "s": "Hello, wörld",
                 "rows": [{"n": "x", "v": 1}, {"n": "y", "v": 2}, {"n": "z"}], "f": 2.5, "t": True, "none": None}
    sources = (DATA / "snippets.txt").read_text(encoding="utf-8").split("\n----\n")
    env = environment()
    return [dict(render(env, source, variables), source=source) for source in sources]


def fixtures():
    for path in sorted(DATA.glob("*.jinja")):
        value = cases(path.read_text(encoding="utf-8"))
        rendered = sum("text" in case for case in value)
        print(f"{path.name}: {rendered} of {len(value)} conversations render")
        path.with_suffix(".expected.json").write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    value = snippets()
    for case in value:
        if "error" in case:
            print(repr(case["source"]), "->", case["error"])
    (DATA / "snippets.expected.json").write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return 0


def check(arguments):
    with tempfile.TemporaryDirectory() as folder:
        for directory in arguments.folders:
            for path in sorted(pathlib.Path(directory).glob("*.jinja")):
                source = path.read_text(encoding="utf-8")
                value = [dict(case, source=source) for case in cases(source)]
                print(f"{path.name}: {sum('text' in case for case in value)} render", flush=True)
                (pathlib.Path(folder) / (path.stem + ".json")).write_text(json.dumps(value), encoding="utf-8")
        return subprocess.run([arguments.test, "--gtest_filter=ChatTemplatePeer.*"],
                              env={**os.environ, "LOWBIT_CHAT_CASES": folder}, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["check", "fixtures"])
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--test", default="build/tests/test_text")
    arguments = parser.parse_intermixed_args()
    return check(arguments) if arguments.command == "check" else fixtures()


if __name__ == "__main__":
    sys.exit(main())
