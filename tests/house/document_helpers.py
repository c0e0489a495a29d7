"""The blocks of a document, and a program that runs them as a reader would: in order, in one folder."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?")
_TOKEN = re.compile(rf"{_NUMBER.pattern}|[^\W\d]+|[^\w\s│┃━┏┓┗┛┡┩╇┳┴└┘─]")


@dataclass
class Step:
    """One thing that a reader types.

    Attributes:
        kind: "python" (a statement or a few), "command" (a line of a shell) or "script" (a block of bash).
        text: What is typed.
        shown: What the document shows as its output.
    """

    kind: str
    text: str
    shown: list[str] = field(default_factory=list)


def steps(document: str) -> list[Step]:
    """All that a reader of a document types, in order."""
    found = []
    for language, text in BLOCK.findall(document):
        if language == "python":
            found += [Step("python", ast.unparse(node)) for node in ast.parse(text).body]
        elif language == "console":
            for line in text.splitlines():
                if line.startswith("$ "):
                    found.append(Step("command", line[2:]))
                else:
                    found[-1].shown.append(line)
        elif language == "sh" and re.search(r"^\s*(for|say\(\)|\w+=\$\()", text, re.MULTILINE):
            found.append(Step("script", text))
        elif language == "sh":
            found += [Step("command", line) for line in text.splitlines() if line.strip()]
    return found


def words_of(command: str) -> list[str]:
    """A line of a shell as words, without its comment."""
    return shlex.split(command, comments=True)


def tells(out: str, line: str) -> bool:
    """Whether a line stands in what was printed, wherever it was broken, and figures nearly equal."""
    wanted, found = _TOKEN.findall(line), _TOKEN.findall(out)
    return any(
        all(map(_same, wanted, found[start : start + len(wanted)]))
        for start in range(len(found) - len(wanted) + 1)
    )


def _same(wanted: str, found: str) -> bool:
    if not (_NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(found)):
        return wanted == found
    one, other = (float(text.replace(",", "")) for text in (wanted, found))
    return abs(one - other) <= 0.02 + 0.02 * abs(one)


# Runs in a process that has the sandbox Hub in its environment. The program's commands run inside it, since
# each would import PyTorch again; services and scripts run beside it.
_DRIVER = """
import contextlib, io, json, os, re, shlex, subprocess, sys, traceback

steps, folder, extra = json.loads({given!r})
os.chdir(folder)
PORTS = {{"serve": "8000", "hub-sandbox": "8800", "wyoming": "10400"}}
CLI = {{
    "snn-voice": "from snn_voice_hub.cli import main; main()",
    "snn-voice-lite": "from snn_voice_lite.shell.program import main; main()",
}}
names, services, functions = {{"__name__": "__main__"}}, {{}}, []

def urls(text):
    for port, (url, *_) in services.items():
        text = text.replace(f"http://127.0.0.1:{{port}}", url)
        text = text.replace(f"127.0.0.1', {{port}}", "127.0.0.1', " + url.rpartition(":")[2])
    return text

def begin(name, *arguments):
    port = arguments[arguments.index("--port") + 1] if "--port" in arguments else PORTS[arguments[0]]
    rest = [a for i, a in enumerate(arguments) if a != "--port" and arguments[max(i - 1, 0)] != "--port"]
    given = [name, *rest]
    if port in services and services[port][2] == given:  # named twice: it answers already
        return 0, ""
    running = subprocess.Popen([sys.executable, "-c", CLI[name], *rest, "--port", "0"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = ""
    for line in running.stdout:
        said += line
        if found := re.search(r"\\w+://127[.]0[.]0[.]1:\\d+", line):
            services[port] = (found[0], running, given)
            return 0, said.replace(found[0], found[0].rpartition(":")[0] + ":" + port)
    return running.wait(), said

def program(arguments, stdin):
    from snn_voice_hub.cli import main
    arguments += extra.get(arguments[0], [])
    sys.argv, sys.stdin = ["snn-voice", *arguments], io.TextIOWrapper(io.BytesIO(stdin))
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    return code

def command(text, out):
    words = shlex.split(urls(os.path.expandvars(text)), comments=True)
    if len(words) == 1 and "=" in words[0]:
        name, _, value = words[0].partition("=")
        os.environ[name] = value
        return 0, ""
    if words[:2] == ["make", "serve"]:
        words = ["snn-voice", "serve"]
    if words[0] in CLI and words[1] in PORTS:
        return begin(*words)
    if words[0] == "snn-voice":
        stdin = b""
        if "<" in words:
            stdin = open(words.pop(words.index("<") + 1), "rb").read()
            words.remove("<")
        target = None
        if ">" in words:
            target = words.pop(words.index(">") + 1)
            words.remove(">")
        import glob
        words = [w for word in words for w in (sorted(glob.glob(word)) if "*" in word else [word])]
        start = out.tell()
        code = program(words[1:], stdin)
        if target:
            open(target, "w").write(out.getvalue()[start:])
        return code, ""
    text = text.replace("snn-voice-lite", f"{{shlex.quote(sys.executable)}} -m snn_voice_lite")
    done = subprocess.run(["bash", "-c", urls(os.path.expandvars(text))], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr

told = []
for kind, text in steps:
    out, code, more = io.StringIO(), 0, ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            if kind == "python":
                try:
                    value = eval(compile(urls(text), "document", "eval"), names)
                    if value is not None:
                        print(repr(value))
                except SyntaxError:
                    exec(compile(urls(text), "document", "exec"), names)
            elif kind == "script":
                functions += re.findall(r"^\\w+\\(\\) {{.*?^}}$", text, re.M | re.S)
                program_text = "\\n".join([*functions, text])
                done = subprocess.run(["bash", "-e", "-c", program_text], capture_output=True, text=True)
                code, more = done.returncode, done.stdout + done.stderr
            else:
                code, more = command(text, out)
        except BaseException:
            code, more = 1, traceback.format_exc()
    told.append([code, out.getvalue() + more])
    if code:
        break
for _, running, _ in services.values():
    running.terminate()
for _, running, _ in services.values():
    running.wait(30)
sys.__stdout__.write(json.dumps(told) + "\\n")
"""


def driver(typed: list[Step], folder: Path, extra: dict[str, list[str]]) -> str:
    """A program that runs steps, and prints code and output of each as JSON."""
    given: Any = [[(step.kind, step.text) for step in typed], str(folder), extra]
    return _DRIVER.format(given=json.dumps(given))
