"""What the commands of a shell would do, as far as their text says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from .places import Places

RISKY = {
    "crontab", "diskpart", "diskutil", "doas", "fdisk", "halt", "iptables", "launchctl", "modprobe", "mkfs", "parted",
    "passwd", "poweroff", "reboot", "schtasks", "service", "shutdown", "ssh-copy-id", "ssh-keygen", "su", "sudo",
    "systemctl", "useradd", "userdel", "usermod", "visudo", "wipefs",
}  # fmt: skip
# A command follows them, and after some options a value.
WRAPPERS = {
    "sudo": {"-u", "-g", "-h", "-p", "-C", "-T"}, "doas": {"-u", "-C"}, "timeout": {"-s", "-k"}, "nice": set(),
    "xargs": {"-I", "-n", "-P", "-L", "-d"}, "env": {"-u", "-C"}, "nohup": set(), "setsid": set(), "stdbuf": set(),
    "exec": set(), "command": set(), "time": set(), "watch": {"-n"},
}  # fmt: skip
# A command follows, or none.
KEYWORDS = {"then", "do", "else", "elif", "if", "while", "until", "!", "{"}
LONE = {"for", "case", "select", "function", "done", "fi", "esac", "}", "in", "[[", "source", ".", "wait", "exit"}
REMOVERS = {"rm", "rmdir", "unlink", "shred", "srm", "del", "rd", "erase"}
DOWNLOADERS = {"curl", "wget"}
SHELLS = {"sh", "bash", "zsh", "dash", "ksh"}
INTERPRETERS = {*SHELLS, "python", "python3", "perl", "ruby", "powershell", "pwsh", "cmd"}
INSTALLERS = {"pip", "pip3", "conda", "mamba", "uv", "apt", "apt-get", "kaggle"}
REMOTE = {"ssh", "sftp", "nc", "ncat", "netcat", "telnet", "ftp"}
COPIERS = {"cp", "mv", "install", "scp", "rsync"}
CLOUDS = {"aws", "gsutil", "gcloud", "rclone"}
CLOUD_VERBS = {"cp", "mv", "sync", "rsync", "copy", "copyto", "move", "moveto", "rm", "rb", "delete", "purge"}
# They name a place, but read nothing of what is there.
NO_READERS = {*REMOVERS, "mkdir", "chmod", "chown", "touch", "echo", "printf", "test", "[", "cd", "export", "tee"}
SENDING = {
    "curl": re.compile(r"^(-d|--data|-F|--form|-T|--upload-file|--json|(-X|--request=)(?i:POST|PUT|PATCH|DELETE)$)"),
    "wget": re.compile(r"^--(post-|body-|method=(post|put|patch|delete))", re.I),
}
VERB = re.compile(r"^(POST|PUT|PATCH|DELETE)$", re.I)
ADDRESS = re.compile(r"^\w+://|^[\w.-]+:\d+|^localhost")
LOCAL = re.compile(r"^(\w+://)?(localhost|127(\.\d+){3}|\[::1\]|0\.0\.0\.0)(:|/|$)")
REMOTE_PATH = re.compile(r"^[\w.-]+@?[\w.-]*:(?!\\)|^(s3|gs|rsync|ssh)://")
TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\\\n)
    | (?P<comment>\#[^\n]*)
    | <<-?[ \t]*(?P<quote>['"]?)(?P<document>\w+)(?P=quote)
    | (?P<into>\d*&?>[>|&]?) | (?P<from>\d*<(<<|&)?)
    | (?P<operator>\n|;;|&&|\|\||\|&|[;&|()])
    | (?P<word>('[^']*'|"(\\.|[^"\\])*"|\\.|\$\{[^{}\s]*\}|\{[^{}\s]*\}|[^\s;&|()<>'"\\])+)
    | (?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)
QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.DOTALL)


class Meaning(NamedTuple):
    """What one command does. `line` counts from 0; of the kind `code`, `what` is Python that it runs."""

    line: int
    kind: str
    what: str
    is_ordinary: bool = False


@dataclass
class Command:
    """One command, with the operator before it and the files that it writes to."""

    line: int
    operator: str
    words: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


def is_local(address: str) -> bool:
    """Return whether an address is one of this machine itself."""
    return LOCAL.match(address) is not None


def meanings(text: str, places: Places, depth: int = 0) -> Iterator[Meaning]:
    """Yield what the commands of a text do."""
    downloader = ""
    for command in _commands(text):
        for file in [*command.words, *command.written]:
            if re.split(r"[/\\]", file)[-1] == "authorized_keys":
                yield Meaning(command.line, "shell", f"names {file}")
        if "|" not in command.operator or command.operator == "||":
            downloader = ""
        words = command.words
        while words:
            program = _program(words[0])
            yield from _command(command.line, program, words, places, depth)
            if downloader and program in INTERPRETERS and _reads_input(words[1:]):
                yield Meaning(command.line, "shell", f"runs what {downloader} downloads")
            downloader = program if program in DOWNLOADERS else downloader
            words = _wrapped(program, words)


def _program(word: str) -> str:
    return re.split(r"[/\\]", word)[-1].lower().removesuffix(".exe")


def _reads_input(arguments: list[str]) -> bool:
    return "-s" in arguments or all(word.startswith("-") and word not in {"-c", "-m"} for word in arguments)


def _wrapped(program: str, words: list[str]) -> list[str]:
    """Return the command within a command."""
    if program not in WRAPPERS:
        return []
    rest = words[1:]
    while rest and (rest[0].startswith("-") or re.match(r"^(\w+=.*|[\d.]+[smhd]?)$", rest[0])):
        rest = rest[2 if rest[0] in WRAPPERS[program] else 1 :]
    return rest


def _commands(text: str) -> Iterator[Command]:
    line, at, documents = 0, 0, list[str]()
    command, redirects = Command(0, ""), ""
    while found := TOKEN.match(text, at):
        at = found.end()
        part = found[0]
        if found["document"]:
            documents.append(found["document"])
        elif found["into"] or found["from"]:
            redirects = "into" if found["into"] else "from"
        elif found["operator"]:
            if command.words or command.written:
                yield command
            command, redirects = Command(line + part.count("\n"), part), ""
        elif found["word"]:
            word = QUOTED.sub(_plain, part)
            if redirects == "into":
                command.written.append(word)
            elif command.words or redirects or not (word in KEYWORDS or re.match(r"^\w+=", word)):
                command.words.append(word)
            redirects = ""
        line += part.count("\n")
        if part == "\n":
            for end in documents:
                body = re.compile(rf"(.*\n)*?\t*{end}[ \t\r]*(?=\n|\Z)").match(text, at)
                at, line = (body.end(), line + body[0].count("\n")) if body else (len(text), line)
            documents.clear()
            command.line = line
    if command.words or command.written:
        yield command


def _plain(quoted: re.Match[str]) -> str:
    single, double, escaped = quoted.groups()
    if single is not None:
        return single
    if double is not None:
        return re.sub(r'\\(["\\$`])', r"\1", double)
    return "" if escaped == "\n" else escaped


def _command(line: int, program: str, words: list[str], places: Places, depth: int) -> Iterator[Meaning]:
    arguments = words[1:]
    given = [word for word in arguments if not word.startswith("-")]
    if program in LONE:
        return
    for path in _read(program, arguments, given):
        if places.is_secret(path):
            yield Meaning(line, "credentials", f"names {path}")
    if program == "find" and {"-delete", "rm"} & set(arguments):
        first = next(number for number, word in enumerate(arguments) if word.startswith("-"))
        removed = arguments[:first]
    else:
        removed = given if program in REMOVERS else []
    for path in removed:
        if places.is_outside(path):
            yield Meaning(line, "delete", f"{program} {path}")
    yield from _network(line, program, arguments, given)
    if program.startswith("python") and "-c" in words[:-1]:
        yield Meaning(line, "code", words[words.index("-c") + 1], is_ordinary=True)
    script = next((number for number, word in enumerate(arguments[:-1]) if re.match(r"^-\w*c$", word)), None)
    if program in SHELLS and script is not None and depth < 3:
        inner = arguments[script + 1]
        if found := re.search(r"\$\(\s*(curl|wget)\b", inner):
            yield Meaning(line, "shell", f"runs what {found[1]} downloads")
        for meaning in meanings(inner, places, depth + 1):
            yield meaning._replace(line=line)
    yield Meaning(line, "shell", f"runs {program}", not _is_risky(program, arguments, given, places))


def _read(program: str, arguments: list[str], given: list[str]) -> list[str]:
    """Return the paths that a command may read."""
    if program in NO_READERS:
        return []
    paths = given[:-1] if program in COPIERS else given
    return [*paths, *(re.split(r"[=@]", word)[-1] for word in arguments if re.search("[=@]", word))]


def _network(line: int, program: str, arguments: list[str], given: list[str]) -> Iterator[Meaning]:
    last = given[-1] if given else ""
    if program in DOWNLOADERS:
        sends = any(SENDING[program].match(word) for word in arguments)
        verbs = (verb for option, verb in pairwise(arguments) if option in {"-X", "--request"})
        sends |= any(map(VERB.match, verbs))
        addresses = [word for word in given if ADDRESS.match(word)]
        sends &= not (addresses and all(map(is_local, addresses)))
        yield Meaning(line, "network", f"{program} sends data" if sends else program, not sends)
    elif program in REMOTE:
        yield Meaning(line, "network", program)
    elif program in {"scp", "rsync"}:
        if any(map(REMOTE_PATH.match, given)):
            yield Meaning(line, "network", program, not REMOTE_PATH.match(last))
    elif program in CLOUDS:
        sends = bool(CLOUD_VERBS & set(given)) and REMOTE_PATH.match(last) is not None
        yield Meaning(line, "network", program, not sends)
    elif program in {"hf", "huggingface-cli"}:
        yield Meaning(line, "network", program, given[:1] != ["upload"])
    elif program == "git" and given[:1] in (["clone"], ["fetch"], ["pull"], ["push"]):
        yield Meaning(line, "network", f"git {given[0]}", given[0] != "push")
    elif program in INSTALLERS:
        yield Meaning(line, "network", program, is_ordinary=True)


def _is_risky(program: str, arguments: list[str], given: list[str], places: Places) -> bool:
    if program in {"chmod", "chown", "chgrp"}:
        is_recursive = any(re.match(r"^-\w*R|^--recursive$", word) for word in arguments)
        return is_recursive and any(map(places.is_outside, given[1:]))
    if program == "dd":
        return any(re.match(r"^of=/dev/(?!null|zero|shm)", word) for word in arguments)
    if program == "kill":
        return "-1" in arguments[1:]
    return program in RISKY or program.startswith("mkfs.")
