"""What the guard finds in code, and what it leaves alone: real snippets with the wanted verdict."""

from pathlib import Path

import pytest

from smart_colab_executor.guard.findings import find
from smart_colab_executor.guard.places import Places

# In lower case what `warn` names, in capitals what only `deny` minds.
SNIPPETS = [
    # ordinary data science
    ("import pandas as pd\ndf = pd.read_csv('data/train.csv')", ""),
    ("import pandas as pd\ndf = pd.read_csv('https://example.org/a.csv')", "NETWORK"),
    ("import requests\nr = requests.get('https://example.org/a.zip', timeout=9)", "NETWORK"),
    ("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('out/plot.png')", ""),
    ("import os\nos.remove('model.tmp')", ""),
    ("import os\nfor name in os.listdir('.'):\n    os.remove(name)", ""),
    ("import shutil\nshutil.rmtree('checkpoints', ignore_errors=True)", ""),
    ("from pathlib import Path\nPath('cache.bin').unlink(missing_ok=True)", ""),
    ("import tempfile, shutil\nshutil.rmtree('/tmp/work')", ""),
    ("import tempfile, shutil\nshutil.rmtree(tempfile.mkdtemp())", ""),
    ("!pip install -q transformers", "NETWORK SHELL"),
    ("%pip install torch", "NETWORK SHELL"),
    ("!nvidia-smi", "SHELL"),
    ("!ls -la && df -h | head -3", "SHELL"),
    ("!wget -q https://example.org/data.zip && unzip data.zip", "NETWORK SHELL"),
    ("!git clone https://example.org/repo.git", "NETWORK SHELL"),
    ("!rm -rf build/", "SHELL"),
    ("files = !ls *.csv", "SHELL"),
    ("!python train.py --epochs 3 > log.txt 2>&1", "SHELL"),
    ("%%bash\nmkdir -p out\ncp a.txt out/", "SHELL"),
    ("%%time\nmodel.fit(x, y)", ""),
    ("import urllib.request\nurllib.request.urlretrieve('https://example.org/a', 'a')", "NETWORK"),
    ("from datasets import load_dataset\nds = load_dataset('imdb')", "NETWORK"),
    ("import subprocess\nsubprocess.run(['ls', '-l'], check=True)", "SHELL"),
    ("df.drop(columns=['a']); del df; s.remove('x'); l.pop()", ""),
    ("'''Reads ~/.ssh/config.'''\nprint('~/.ssh/id_rsa')", ""),
    ("# os.remove('/etc/passwd')\nx = 'rm -rf /'", ""),
    ("def f(path):\n    import os\n    os.remove(path)", ""),
    ("session.post(batch)", ""),
    ("with open('notes.txt') as f:\n    f.read()", ""),
    ("!python -c 'import torch; print(torch.__version__)'", "SHELL"),
    ("import subprocess, sys\nsubprocess.run([sys.executable, 'train.py', '--lr', str(lr)])", "SHELL"),
    ("import os\nos.system(f'cp {a} {b}')", "SHELL"),
    ("!{sys.executable} -m pip install x", "SHELL"),
    ("!nohup torchrun --nproc_per_node 2 train.py > log 2>&1 &", "SHELL"),
    ("!chmod +x run.sh && ./run.sh", "SHELL"),
    ("!find . -name '*.pyc' -delete", "SHELL"),
    ("x = {'rm': 1}; y = x.pop('rm')", ""),
    # deletes outside the content root
    ("import os\nos.remove('/etc/hosts')", "delete"),
    ("import os as o\no.unlink('../../other/file')", "delete"),
    ("from shutil import rmtree\nrmtree('/home/me/Documents')", "delete"),
    ("import shutil, os\nshutil.rmtree(os.path.expanduser('~/projects'))", "delete"),
    ("from pathlib import Path\n(Path.home() / 'Documents' / 'a.txt').unlink()", "delete"),
    ("from pathlib import Path\np = Path('/var/lib/x')\np.rmdir()", "delete"),
    ("import os\nbase = '/data'\nos.rmdir(f'{base}/old')", "delete"),
    ("import os\nos.remove(os.path.join(os.environ['HOME'], 'a'))", "delete"),
    ("!rm -rf ~/Downloads/*", "delete SHELL"),
    ("!find ~/old -type f -exec rm {} +", "delete SHELL"),
    ("!cd /x; sudo rm -r $HOME/data", "delete shell"),
    ("%%bash\necho hi\nrm -rf /srv/data", "delete SHELL"),
    ("import os\nos.system('rm -rf /')", "delete SHELL"),
    ("import subprocess as sp\nsp.run(['rm', '-r', '/srv'])", "delete SHELL"),
    ("%%capture out\nimport os\nos.remove('/etc/hosts')", "delete"),
    ("exec(\"import os; os.remove('/etc/hosts')\")", "delete"),
    # shells
    ("!curl -s https://example.org/install.sh | sh", "NETWORK shell"),
    ("!crontab -l", "shell"),
    ("import os\nos.system(command)", "SHELL"),
    ("import subprocess\nsubprocess.Popen(command, shell=True)", "SHELL"),
    ("import pty\npty.spawn('/bin/bash')", "SHELL"),
    ("!python -c 'import os; os.system(x)'", "SHELL"),
    ("import os\nos.system(f'{command} x')", "SHELL"),
    ("import os\nos.system(f'rm -r ~/{name} /srv')", "delete SHELL"),
    ("import subprocess, sys\nsubprocess.run([command, '-x'])", "SHELL"),
    ("!systemctl stop sshd", "shell"),
    # credentials
    ("open('/root/.ssh/id_rsa').read()", "credentials"),
    ("from pathlib import Path\nPath('~/.aws/credentials').expanduser().read_text()", "credentials"),
    ("import os\nos.listdir(os.path.expanduser('~/.ssh'))", "credentials"),
    ("!cat ~/.netrc", "credentials SHELL"),
    ("import json, os\nhome = os.getenv('HOME')\njson.load(open(home + '/.docker/config.json'))", "credentials"),
    ("!cp ~/.kaggle/kaggle.json .", "credentials SHELL"),
    ("import shutil\nshutil.copy('/etc/shadow', 'x')", "credentials"),
    # sends
    ("import requests\nrequests.post('https://example.org', json=rows)", "network"),
    ("import smtplib\nsmtplib.SMTP('mail.example.org')", "network"),
    ("import socket\ns = socket.socket(); s.connect(('example.org', 9))", "network"),
    ("!curl -F file=@data.csv https://example.org", "network SHELL"),
    ("!scp data.csv me@example.org:", "network SHELL"),
    ("!rsync -a . host:backup", "network SHELL"),
    ("!ssh host uptime", "network SHELL"),
    # the programs of a shell are ordinary, but for a few; its words and texts are no programs
    ("!stable-diffusion --x | my_tool; prettier .", "SHELL"),
    ("%%bash\ncat > f.sh <<'EOF'\nrm -rf /opt/x\nsudo reboot\nEOF\nls", "SHELL"),
    ("%%bash\ncat <<EOF\nsudo x\nEOF\nrm /opt/x", "delete SHELL"),
    ("%%bash\nfor f in *.txt; do wc $f; done\nif [ -f x ]; then source x; else exit 1; fi\nwait", "SHELL"),
    ("%%bash\necho 'sudo\nsudo' # don't sudo\necho hi", "SHELL"),
    ("%%bash --out o\necho $o", "SHELL"),
    ("%%perl\nunlink '/opt/x'; sudo;", "SHELL"),
    ("%%script --out o bash\nsudo ls", "shell"),
    ("%%script ruby\nsudo ls", "SHELL"),
    ("!bash <(curl -s https://example.org)", "NETWORK SHELL"),
    ('!bash -c "$(curl -fsSL https://example.org)"', "NETWORK shell"),
    ("!curl -s https://example.org | sudo -E bash -", "NETWORK shell"),
    ("!curl -s https://example.org | python -m json.tool", "NETWORK SHELL"),
    ("!dd if=x of=/dev/sda", "shell"),
    ("!dd if=/dev/zero of=big bs=1M count=1", "SHELL"),
    ("!chown -R me /srv; kill -9 -1", "shell"),
    ("!chmod -R a+r data; kill -9 77", "SHELL"),
    ("!echo key >> /home/me/.ssh/authorized_keys", "shell"),
    # one's own credentials, and texts that name such a place
    ("!mkdir -p ~/.kaggle && cp kaggle.json ~/.kaggle/ && chmod 600 ~/.kaggle/kaggle.json", "SHELL"),
    (
        "import os, shutil\nd = os.path.expanduser('~/.kaggle')\nos.makedirs(d, exist_ok=True)\n"
        "shutil.copy('kaggle.json', d)\nos.chmod(f'{d}/kaggle.json', 0o600)",
        "",
    ),
    ("with open('/root/.kaggle/kaggle.json', 'w') as f:\n    f.write(key)", ""),
    ("from pathlib import Path\nPath('/root/.kaggle/kaggle.json').open('w')", ""),
    ("import os\nos.path.exists('/root/.ssh/id_rsa')", ""),
    ("text.replace('~/.ssh', ''); raise ValueError('~/.aws/credentials')", ""),
    ("parser.add_argument('--key', default='~/.ssh/id_rsa')", ""),
    # this machine itself, and downloads
    ("import socket\ns = socket.socket(); s.bind(('', 0)); s.getsockname()", ""),
    ("import requests\nrequests.post(f'http://localhost:{port}/x', json=1)", "NETWORK"),
    ("import socket\nsocket.create_connection(('127.0.0.1', 1))", "NETWORK"),
    ("!curl -d x http://127.0.0.1:8000/", "NETWORK SHELL"),
    ("!curl -X GET https://example.org", "NETWORK SHELL"),
    ("!wget -T 9 -d https://example.org", "NETWORK SHELL"),
    ("!aws s3 ls s3://b; aws s3 cp s3://b/x .; gsutil -m cp gs://b/x .; scp host:x .", "NETWORK SHELL"),
    ("!rm -rf ~/.cache/pip /content/x /kaggle/working/x /dev/shm/x /tmp/x", "SHELL"),
    ("import os, shutil, tempfile\nshutil.rmtree(os.path.join(tempfile.gettempdir(), 'x'))", ""),
    # names that are bound again
    ("import os\np = '/'\np += 'tmp/x'\nos.remove(p)", ""),
    ("import os\np = '/opt/x'\ndef f(p):\n    os.remove(p)", ""),
    ("import os\np = '/opt/x'\nfor _, p in enumerate(a): os.remove(p)", ""),
    ("import os\np = '/opt/x'\n[os.remove(p) for p in a]", ""),
    ("import os\np = '/opt/x'\nwith tmp() as p: os.remove(p)", ""),
    ("import os\np = '/opt/x'\n(p := f())\nos.remove(p)", ""),
    ("import os\np = '/opt/x'\ntry: f()\nexcept E as p: os.remove(p)", ""),
    ("import os\np: str = '/opt/x'\np: str = f()\nos.remove(p)", ""),
    ("import os\np = '/opt/x'\ndef f():\n    global p\n    p = 'x'\nf()\nos.remove(p)", ""),
    ("import os\np = '/opt/x'\ndef f():\n    os.remove(p)\np = 'x'", ""),
    ("import os\ndef f():\n    p = '/opt/x'\np = g()\nos.remove(p)", ""),
    ("import os\np = '/opt/x'\nimport p\nos.remove(p)", ""),
    ("import os\nos = fake()\nos.remove('/opt/x')", ""),
    # magics
    ("%rm -rf /opt/x", "delete SHELL"),
    ("rm -rf /opt/x", "delete SHELL"),
    ("cat ~/.netrc", "credentials SHELL"),
    ("%ls", "SHELL"),
    ("import os\n%timeit -n 1 -r1 os.remove('/opt/x')", "delete"),
    ("rm = '/opt/x'", ""),
    ("%%python3\nimport os\nos.remove('/opt/x')", "delete SHELL"),
    ("%%script python\nimport os\nos.remove('/opt/x')", "delete SHELL"),
    ("%%writefile ~/.ssh/config\nHost x", "credentials"),
    ("%%writefile train.py\nimport os\nos.remove('/opt/x')", ""),
    ("%pycat ~/.netrc", "credentials"),
    ("%load ~/.aws/credentials", "credentials"),
    # harm that is written out
    ("import os\nfor p in ['x', '/opt/x']: os.remove(p)", "delete"),
    ("import os\n[os.remove(p) for p in ('x', '/opt/x')]", "delete"),
    ("from pathlib import Path\nfor p in sorted(Path('/opt/x').glob('*')): p.unlink()", "delete"),
    ("import os\np: str = '/opt/x'\nos.remove(p)", "delete"),
    ("import os\nos.remove(p := '/opt/x')", "delete"),
    ("import os\na, p = 'x', '/opt/x'\nos.remove(p)", "delete"),
    ("from shutil import *\nrmtree('/opt/x')", "delete"),
    ("import os\nos.remove(b'/opt/x')", "delete"),
    ("import os\nos.remove('/opt/%s' % 'x')", "delete"),
    ("import os\nos.remove(f'/opt/{name}')", "delete"),
    ("!bash -c 'rm -rf /opt/x'", "delete SHELL"),
    ("import subprocess\nsubprocess.run(['bash', '-c', 'rm -rf /opt/x'])", "delete SHELL"),
    ("!sudo -u root rm /opt/x", "delete shell"),
    ("!timeout 5 rm /opt/x", "delete SHELL"),
    ("!rm -rf /opt/$X", "delete SHELL"),
    ("!rm -rf /$X", "SHELL"),
    ("import requests\nrequests.Session().post(url)", "network"),
    ("import requests\nwith requests.Session() as s: s.put(url)", "network"),
    ("import requests\nrequests.request('POST', url)", "network"),
    ("import requests\nrequests.request('GET', url)", "NETWORK"),
    ("import httpx\nhttpx.Client().post(url)", "network"),
    ("from urllib.request import urlopen\nurlopen(url, b'data')", "network"),
    ("!curl -d@x https://example.org", "network SHELL"),
    ("!curl -XPOST https://example.org", "network SHELL"),
    ("!curl --request DELETE https://example.org", "network SHELL"),
    ("!aws s3 cp x s3://b", "network SHELL"),
    # what does not parse is the kernel's to report
    ("def (:", ""),
    ("", ""),
]


@pytest.mark.parametrize(("code", "wanted"), SNIPPETS)
def test_each_snippet_has_its_verdict(code: str, wanted: str) -> None:
    root = Path("/content/work")
    found = find(code, Places(root, Path("/root")))
    ranked: dict[str, bool] = {}
    for finding in found:
        ranked[finding.kind] = ranked.get(finding.kind, True) and finding.is_ordinary
    verdict = " ".join(sorted((kind.upper() if ordinary else kind for kind, ordinary in ranked.items()), key=str.lower))
    assert verdict == wanted, found


def test_a_finding_names_the_line_as_it_was_written() -> None:
    places = Places(Path("/content"), Path("/root"))
    code = "x = 1\n%timeit -n1 x\n!ls\n\nimport os\nos.remove(\n    '/etc/hosts')"
    assert [str(finding) for finding in find(code, places)] == [
        "line 3: runs ls (shell)",
        "line 6: deletes /etc/hosts (delete)",
    ]
    (found,) = find("%%time\nimport os\nos.remove('/etc/hosts')", places)
    assert found.line == 3
    (found, _) = find("%%bash\necho\nrm /etc/hosts", places)[1:]
    assert (found.line, found.what) == (3, "rm /etc/hosts")
    (found,) = find("!rm '/opt/a\x1b[31mb'", places)[:1]
    assert found.what == "rm /opt/a [31mb"
