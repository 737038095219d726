"""What a command line of a shell would do, as far as its text says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from .places import Places

# kind, what it does, and whether ordinary work does it all the time; of the kind `code`, Python that it runs.
Meaning = tuple[str, str, bool]

# They look, install, build, train or keep house.
ORDINARY = {
    "accelerate", "apt", "apt-get", "awk", "base64", "basename", "bc", "black", "bzip2", "cargo", "cat", "cd",
    "chmod", "clang", "clear", "cmake", "cmp", "comm", "conda", "convert", "cp", "curl", "cut", "date", "deepspeed",
    "df", "diff", "dirname", "dot", "du", "dvc", "echo", "env", "export", "expr", "false", "ffmpeg", "ffprobe",
    "file", "find", "flake8", "free", "g++", "gcc", "git", "go", "grep", "gunzip", "gzip", "head", "hf", "hostname",
    "htop", "huggingface-cli", "id", "ipython", "java", "javac", "jq", "julia", "jupyter", "kaggle", "kill",
    "latexmk", "less", "ln", "ls", "lsblk", "lscpu", "magick", "make", "mamba", "md5sum", "mkdir", "mlflow", "more",
    "mv", "mypy", "nbconvert", "nice", "ninja", "node", "npm", "nproc", "npx", "nvcc", "nvidia-smi", "ollama",
    "open", "pandoc", "paste", "pdflatex", "pdftotext", "pip", "pip3", "pkill", "printf", "ps", "pwd", "pytest",
    "python", "python3", "rm", "rmdir", "rscript", "ruff", "rustc", "sed", "seq", "set", "sha1sum", "sha256sum",
    "shuf", "sleep", "sort", "split", "sqlite3", "stat", "streamlit", "strings", "tail", "tar", "tee",
    "tensorboard", "tesseract", "test", "top", "torchrun", "touch", "tr", "tree", "true", "uname", "uniq", "unzip",
    "uptime", "uv", "wandb", "watch", "wc", "wget", "which", "whoami", "xargs", "xelatex", "xxd", "xz", "yarn",
    "yq", "zip",
}  # fmt: skip
PREFIXES = {"sudo", "nohup", "time", "env", "exec", "command", "then", "do", "else", "if", "while", "!"}
REMOVERS = {"rm", "rmdir", "unlink", "shred", "srm", "del", "rd", "erase"}
DOWNLOADERS = {"curl", "wget"}
SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "python", "python3", "perl", "ruby", "powershell", "pwsh", "cmd"}
REMOTE = {"ssh", "scp", "sftp", "nc", "ncat", "netcat", "telnet", "ftp"}
SENDING = re.compile(r"^(-d|--data.*|-F|--form.*|-T|--upload-file|--json|--post-.*|--body-.*)(=|$)|^-X$|^--request$")
REMOTE_PATH = re.compile(r"^[\w.-]+@?[\w.-]*:(?!\\)|^(s3|gs|rsync|ssh)://")
OPERATORS = re.compile(r"^[;&|()<>\n]+$")


def meanings(text: str, places: Places) -> Iterator[Meaning]:
    """Yield what the commands of a text do."""
    for line in text.replace("\\\n", " ").splitlines():
        before: list[str] = []
        for operator, words in _commands(line):
            yield from _command(words, places)
            if "|" in operator and before[:1] and before[0] in DOWNLOADERS and words and words[0] in SHELLS:
                yield "shell", f"runs what {before[0]} downloads", False
            before = words


def _commands(line: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the operator before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an open quote
        words = line.split()
    operator: str = ""
    command: list[str] = []
    skips = False
    for word in words:
        if OPERATORS.match(word):
            if word[0] in "<>":
                skips = word[0] == ">"  # the name of a file follows; one that is read counts
                continue
            if command:
                yield operator, command
            operator, command = word, []
        elif skips:
            skips = False
        else:
            command.append(word)
            if len(command) == 1 and (word in PREFIXES or re.match(r"^\w+=", word)):
                command = []
    if command:
        yield operator, command


def _command(words: list[str], places: Places) -> Iterator[Meaning]:
    program = re.split(r"[/\\]", words[0])[-1].lower().removesuffix(".exe")
    given = [word for word in words[1:] if not word.startswith("-")]
    for path in given:
        if places.is_secret(path):
            yield "credentials", f"names {path}", False
    found = False
    if program in REMOVERS or (program == "find" and {"-delete", "rm"} & set(words)):
        for path in given:
            if places.is_outside(path):
                found = True
                yield "delete", f"{program} {path}", False
    if program in DOWNLOADERS:
        found = True
        sends = any(SENDING.match(word) for word in words[1:])
        yield "network", f"{program} sends data" if sends else program, not sends
    elif program in REMOTE or (program in {"rsync", "aws", "gsutil", "rclone"} and any(map(REMOTE_PATH.match, given))):
        found = True
        yield "network", program, False
    elif program == "git" and given[:1] in (["clone"], ["fetch"], ["pull"], ["push"]):
        yield "network", f"git {given[0]}", given[0] != "push"
    elif program in {"pip", "pip3", "conda", "mamba", "uv", "apt", "apt-get", "kaggle"}:
        yield "network", program, True
    if program.startswith("python") and "-c" in words[:-1]:
        yield "code", words[words.index("-c") + 1], True
    yield "shell", f"runs {program}", found or program in ORDINARY or not re.match(r"^[a-z0-9._+-]+$", program)
