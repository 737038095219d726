# Installs what SMART_COLAB_REQUIREMENTS names, once in each environment.
def install(text):
    import hashlib, pathlib, shutil, subprocess, sys, tempfile

    note = pathlib.Path(sys.prefix, "smart-colab-requirements")
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        if note.read_text() == digest:
            print("installed before")
            return
    except OSError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "requirements.txt")
        file.write_text(text, encoding="utf-8")
        uv = shutil.which("uv")
        how = [uv, "pip", "install", "--python", sys.executable] if uv else [
            sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"
        ]
        process = subprocess.Popen(
            [*how, "-r", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace",
        )
        said = []
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                said.append(line.strip())
            failed = process.wait()
        finally:
            process.kill()
    if failed:
        # pip's reason is its last line of this kind, uv's is all from there on.
        reasons = [line for line in said if line.startswith("ERROR:")][-1:]
        if not reasons:
            begins = [at for at, line in enumerate(said) if line.startswith(("error:", "\u00d7"))]
            reasons = [line for line in said[begins[0] if begins else -4 :] if line]
        raise RuntimeError(" ".join(reasons).removeprefix("ERROR: "))
    try:
        note.write_text(digest)
    except OSError:
        pass  # it is asked again next time
