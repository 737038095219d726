"""Finds calls in code that a person may want to know of before it runs: in its syntax tree, without running anything.

It reads what is written: names as they are imported, and paths that are written out or put together from such. What is
computed, read from a file, done by a library or hidden on purpose is not seen.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from .places import Places
from .shell_text import meanings

KINDS = ("delete", "shell", "credentials", "network")
MAX_DEPTH = 3
SHELL_MAGICS = {"bash", "sh", "script", "system", "sx", "!", "cmd", "powershell", "perl", "ruby"}
# They run the rest of the line or cell as Python.
PYTHON_MAGICS = {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "px", "debug"}
INSTALLERS = {"pip", "conda", "mamba", "uv", "micromamba"}

REMOVERS = {
    "os.remove", "os.unlink", "os.rmdir", "os.removedirs", "shutil.rmtree", "pathlib.Path.unlink",
    "pathlib.Path.rmdir", "send2trash.send2trash",
}  # fmt: skip
SHELLS = {
    "os.system", "os.popen", "subprocess.run", "subprocess.call", "subprocess.check_call",
    "subprocess.check_output", "subprocess.Popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "pty.spawn", "os.posix_spawn", "os.posix_spawnp", "asyncio.create_subprocess_shell",
    "asyncio.create_subprocess_exec", "pexpect.spawn", "pexpect.run", *(f"os.{verb}{end}" for verb in ("exec",
    "spawn") for end in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}  # fmt: skip
FETCHERS = {
    "requests.get", "requests.head", "requests.options", "httpx.get", "httpx.head", "httpx.stream",
    "urllib.request.urlopen", "urllib.request.urlretrieve", "wget.download", "gdown.download",
    "huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "datasets.load_dataset",
    "torch.hub.load", "torch.hub.download_url_to_file",
}  # fmt: skip
# Of an address they fetch, of anything else they read a file.
READERS = {
    "read_csv", "read_json", "read_parquet", "read_excel", "read_html", "read_table", "read_feather", "imread",
}  # fmt: skip
SENDERS = {
    *(f"{module}.{verb}" for module in ("requests", "httpx") for verb in ("post", "put", "patch", "delete")),
    "smtplib.SMTP", "smtplib.SMTP_SSL", "ftplib.FTP", "ftplib.FTP_TLS", "telnetlib.Telnet", "paramiko.SSHClient",
    "socket.create_connection", "socket.socket", "http.client.HTTPConnection", "http.client.HTTPSConnection",
    "http.server.HTTPServer", "socketserver.TCPServer", "huggingface_hub.upload_file",
    "huggingface_hub.upload_folder",
}  # fmt: skip
ADDRESS = ("http://", "https://", "ftp://", "s3://", "gs://", "hf://")


@dataclass(frozen=True)
class Finding:
    """One call. `is_ordinary`: ordinary work does it all the time, such as `!pip install` or reading an address."""

    kind: str
    line: int
    what: str
    is_ordinary: bool = False

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} ({self.kind})"


def find(source: str, places: Places) -> list[Finding]:
    """Return what is found in a cell, in the order of its lines; nothing in one that does not parse."""
    return sorted(dict.fromkeys(_find(source, places, 1, 0)), key=lambda finding: finding.line)


def _find(source: str, places: Places, first_line: int, depth: int) -> list[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
        finder = _Finder(places, first_line, depth)
        finder.visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return finder.found


class _Finder(ast.NodeVisitor):
    def __init__(self, places: Places, first_line: int, depth: int) -> None:
        self.found: list[Finding] = []
        self._places = places
        self._offset = first_line - 1
        self._depth = depth
        # What names are imported as, and texts that names have.
        self._imported: dict[str, str] = {"Path": "pathlib.Path"}
        self._texts: dict[str, str | None] = {}

    def _add(self, node: ast.AST, kind: str, what: str, *, is_ordinary: bool = False) -> None:
        what = " ".join(what.split())
        shown = what if len(what) <= 80 else what[:77] + "…"
        self.found.append(Finding(kind, getattr(node, "lineno", 1) + self._offset, shown, is_ordinary))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._imported[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._texts[target.id] = self._text(node.value)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name):
            self._texts[node.target.id] = None
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._name(node.func)
        if name.startswith("get_ipython()."):
            self._magic(node, name.partition(".")[2])
            return
        if name == "print":
            # A text that is only shown is not a path that is used.
            for argument in node.args:
                if not isinstance(argument, ast.Constant):
                    self.visit(argument)
            return
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        texts = [self._text(argument) for argument in arguments]
        if isinstance(node.func, ast.Attribute) and (receiver := self._text(node.func.value)) is not None:
            texts.append(receiver)
            if node.func.attr in {"unlink", "rmdir"}:
                self._removes(node, receiver)
        for text in texts:
            if text is not None and self._places.is_secret(text):
                self._add(node, "credentials", f"{name.rpartition('.')[2] or 'a call'}({text!r})")
        if name in REMOVERS and texts and texts[0] is not None:
            self._removes(node, texts[0])
        elif name in SHELLS:
            self._shell(node, name, arguments)
        elif name in SENDERS:
            self._add(node, "network", name)
        elif name in FETCHERS:
            sends = any(keyword.arg == "data" for keyword in node.keywords)
            self._add(node, "network", name, is_ordinary=not sends)
        elif name.rpartition(".")[2] in READERS and texts and (texts[0] or "").startswith(ADDRESS):
            self._add(node, "network", name, is_ordinary=True)
        elif name in {"exec", "eval"} and texts and texts[0] is not None:
            self._nested(texts[0], node.lineno)
        self.generic_visit(node)

    def _removes(self, node: ast.Call, path: str) -> None:
        if self._places.is_outside(path):
            self._add(node, "delete", f"deletes {path}")

    def _shell(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> None:
        first = arguments[0] if arguments else None
        if isinstance(first, ast.List | ast.Tuple):
            words = [self._text(word) for word in first.elts]
            # A word that is known only later may be anything.
            text = " ".join(_quoted(word) for word in words) if words and words[0] else None
        elif isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
            text = "".join(self._text(value) or "$UNKNOWN" for value in first.values)
        else:
            text = None if first is None else self._text(first)
        if text is None:
            self._add(node, "shell", name)
        else:
            self._commands(node, text)

    def _commands(self, node: ast.AST, text: str, *, is_cell: bool = False) -> None:
        start = 1 if is_cell else 0
        for number, line in enumerate(text.replace("\\\n", "  ").splitlines() or [""]):
            at = ast.Pass(lineno=getattr(node, "lineno", 1) + start + (number if is_cell else 0), col_offset=0)
            for kind, what, is_ordinary in meanings(line, self._places):
                if kind == "code":
                    self._nested(what, at.lineno)
                else:
                    self._add(at, kind, what, is_ordinary=is_ordinary)

    def _magic(self, node: ast.Call, method: str) -> None:
        texts = [self._text(argument) or "" for argument in node.args]
        if method in {"system", "getoutput"} and texts:
            self._commands(node, texts[0])
        elif method in {"run_line_magic", "run_cell_magic"} and texts:
            name, rest, cell = (*texts, "", "")[:3]
            if name in SHELL_MAGICS:
                self._commands(node, rest)
                self._commands(node, cell, is_cell=True)
            elif name in INSTALLERS:
                self._add(node, "network", f"%{name}", is_ordinary=True)
                self._add(node, "shell", f"%{name}", is_ordinary=True)
            elif name in PYTHON_MAGICS:
                self._nested(cell or rest, node.lineno + (1 if cell else 0))

    def _nested(self, source: str, line: int) -> None:
        """Look into Python within a text, which begins on a line."""
        if self._depth < MAX_DEPTH:
            self.found += _find(source, self._places, line + self._offset, self._depth + 1)

    def _name(self, node: ast.expr) -> str:
        """Return a function's full name, as far as imports in this cell or the usual names tell."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            parts.append(self._imported.get(node.id, node.id))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            parts.append(f"{self._imported.get(node.func.id, node.func.id)}()")
        else:
            return ""
        return ".".join(reversed(parts))

    def _text(self, node: ast.expr) -> str | None:
        """Return the text or path that an expression has, if it is written out; `~` for the home folder."""
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id=name):
                return self._texts.get(name)
            case ast.Attribute() if self._name(node) == "sys.executable":
                return "python"
            case ast.BinOp(left=left, op=ast.Add() | ast.Div() as operator, right=right):
                return _joined([self._text(left), self._text(right)], "/" if isinstance(operator, ast.Div) else "")
            case ast.JoinedStr(values=values):
                return _joined([self._text(value) for value in values], "")
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self._text(value)
            case ast.Subscript(value=value, slice=ast.Constant(value="HOME" | "USERPROFILE")):
                return "~" if self._name(value) == "os.environ" else None
            case ast.Call(func=function, args=arguments):
                return self._returned(function, arguments)
        return None

    def _returned(self, function: ast.expr, arguments: list[ast.expr]) -> str | None:
        texts = [self._text(argument) for argument in arguments]
        name = self._name(function)
        match name:
            case "pathlib.Path.home" | "Path.home":
                return "~"
            case (
                "os.path.expanduser"
                | "os.path.abspath"
                | "os.path.realpath"
                | "os.path.expandvars"
                | "str"
                | "os.fspath"
            ):
                return texts[0] if texts else None
            case "pathlib.Path" | "os.path.join" | "pathlib.PosixPath":
                return _joined(texts, "/")
            case "os.getenv" | "os.environ.get":
                return "~" if texts[:1] in (["HOME"], ["USERPROFILE"]) else None
        if isinstance(function, ast.Attribute) and function.attr in {"expanduser", "resolve", "absolute"}:
            return self._text(function.value)
        if isinstance(function, ast.Attribute) and function.attr == "joinpath":
            return _joined([self._text(function.value), *texts], "/")
        return None


def _joined(texts: list[str | None], separator: str) -> str | None:
    if not texts or any(text is None for text in texts):
        return None
    known = [text for text in texts if text is not None]
    if separator:
        # As in paths: an absolute one starts anew.
        starts = [number for number, text in enumerate(known) if text.startswith(("/", "~"))]
        known = known[starts[-1] if starts else 0 :]
        return separator.join(
            text.rstrip("/") if number < len(known) - 1 else text for number, text in enumerate(known)
        )
    return separator.join(known)


def _quoted(word: str | None) -> str:
    return "$UNKNOWN" if word is None else "'" + word.replace("'", "'\\''") + "'"
