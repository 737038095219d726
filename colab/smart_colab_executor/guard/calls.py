"""The calls that findings are about, by their full names."""

from __future__ import annotations

SHELL_MAGICS = {"bash", "sh", "zsh", "system", "sx", "!", "cmd", "powershell"}
PYTHON_SCRIPTS = {"python", "python3", "pypy", "pypy3"}
OTHER_SCRIPTS = {"perl", "ruby", "js", "node", "julia", "R"}
# They run the rest of the line or cell as Python.
PYTHON_MAGICS = {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "px", "debug"}
INSTALLERS = {"pip", "conda", "mamba", "uv", "micromamba"}
# Commands of a shell that are also magics, with a % or, where the cell is one line, without.
ALIASES = {
    "cat", "cp", "copy", "ddir", "echo", "ldir", "less", "lf", "lk", "ll", "ls", "lx", "man", "mkdir", "more", "mv",
    "ren", "rm", "rmdir",
}  # fmt: skip
FILE_MAGICS = {"load", "pycat", "writefile", "file"}

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
# They open, list or copy what their first argument names.
OPENERS = {
    "open", "io.open", "os.open", "codecs.open", "os.listdir", "os.scandir", "os.walk", "os.rename", "os.replace",
    "os.link", "os.symlink", "glob.glob", "glob.iglob", "shutil.copy", "shutil.copy2", "shutil.copyfile",
    "shutil.copytree", "shutil.move", "zipfile.ZipFile", "tarfile.open", "sqlite3.connect", "netrc.netrc",
    "numpy.load", "numpy.loadtxt", "numpy.fromfile", "np.load", "np.loadtxt", "np.fromfile", "runpy.run_path",
    "dotenv.load_dotenv", "dotenv.dotenv_values",
}  # fmt: skip
# The same of a path.
OPENING_METHODS = {"open", "read_text", "read_bytes", "iterdir", "glob", "rglob", "walk", "rename"}
# The same of their first argument, whatever they are methods of. Of an address the first ones fetch.
READERS = {
    "read_csv", "read_json", "read_parquet", "read_excel", "read_html", "read_table", "read_feather", "imread",
}  # fmt: skip
READING_METHODS = {*READERS, "read", "from_private_key_file"}

FETCHERS = {
    "requests.get", "requests.head", "requests.options", "httpx.get", "httpx.head", "httpx.stream",
    "urllib.request.urlopen", "urllib.request.urlretrieve", "urllib.request.Request", "wget.download",
    "gdown.download", "huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download",
    "datasets.load_dataset", "torch.hub.load", "torch.hub.download_url_to_file",
}  # fmt: skip
# What they return has methods that are found.
CLIENTS = {"requests.Session", "requests.session", "httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"}
CONNECTED = {*CLIENTS, "socket.socket"}
HTTP = {"requests", "httpx", *(f"{client}()" for client in CLIENTS)}
REQUESTERS = {f"{client}.request" for client in HTTP}
SENDING_VERBS = {"post", "put", "patch", "delete"}
SENDERS = {
    *(f"{client}.{verb}" for client in HTTP for verb in SENDING_VERBS),
    "smtplib.SMTP", "smtplib.SMTP_SSL", "ftplib.FTP", "ftplib.FTP_TLS", "telnetlib.Telnet", "paramiko.SSHClient",
    "socket.create_connection", "socket.socket().connect", "socket.socket().connect_ex", "socket.socket().sendto",
    "http.client.HTTPConnection", "http.client.HTTPSConnection", "http.server.HTTPServer",
    "socketserver.TCPServer", "huggingface_hub.upload_file", "huggingface_hub.upload_folder",
}  # fmt: skip
ALL = REMOVERS | SHELLS | OPENERS | FETCHERS | SENDERS | REQUESTERS | CONNECTED | {"pathlib.Path"}
