//! Real Jupyter Servers and Kernel Gateways on loopback, with a home of their own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use smart_colab::base::secret::Secret;
use smart_colab::edge::settings::{Endpoint, Kind};
use smart_colab::jupyter::Server;
use tempfile::TempDir;
use url::Url;

use super::python::python;
use super::stdio::PATIENCE;

/// Searched for wherever it must not appear.
pub(crate) const TOKEN: &str = "t0ken-of-the-jupyter-server-5b1d";

/// The extensions that are installed: a server with all of them takes seconds longer to start.
const EXTENSIONS: [&str; 6] = [
    "jupyter_lsp",
    "jupyter_server_fileid",
    "jupyter_server_terminals",
    "jupyter_server_ydoc",
    "jupyterlab",
    "notebook_shim",
];

/// Ended on drop; its kernels and executors end by themselves.
pub(crate) struct Jupyter {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    port: u16,
    base: &'static str,
}

impl Jupyter {
    /// Starts a Jupyter Server below the path `base`, which ends with a slash.
    pub(crate) fn server(base: &'static str, more: &[&str]) -> Self {
        Self::server_with(&[], base, more)
    }

    /// Starts it with these of its extensions alone.
    fn server_with(extensions: &[&str], base: &'static str, more: &[&str]) -> Self {
        let arguments = [
            "-m",
            "jupyter_server",
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port_retries=0",
            &format!("--ServerApp.base_url={base}"),
            "--ServerApp.port=PORT",
            &format!("--IdentityProvider.token={TOKEN}"),
        ];
        let all = EXTENSIONS.map(|name| (name.to_owned(), extensions.contains(&name).into()));
        let all: Map<_, _> = all.into_iter().collect();
        let config = json!({"ServerApp": {"jpserver_extensions": all}});
        Self::start(base, &[&arguments, more].concat(), &config)
    }

    /// Starts JupyterLab, with collaboration unless `more` says otherwise.
    pub(crate) fn lab(more: &[&str]) -> Self {
        let extensions = ["jupyterlab", "jupyter_server_ydoc", "jupyter_server_fileid"];
        Self::server_with(&extensions, "/", more)
    }

    pub(crate) fn kernel_gateway() -> Self {
        let arguments = [
            "-m",
            "kernel_gateway",
            "--KernelGatewayApp.ip=127.0.0.1",
            "--KernelGatewayApp.port_retries=0",
            "--KernelGatewayApp.port=PORT",
            &format!("--KernelGatewayApp.auth_token={TOKEN}"),
        ];
        Self::start("/", &arguments, &json!({}))
    }

    fn start(base: &'static str, arguments: &[&str], config: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["root", "home/data/jupyter", "config"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        share_packages(&folder.path().join("home"));
        let file = folder.path().join("config/jupyter_server_config.json");
        let mut config = config.clone();
        config["ServerApp"]["root_dir"] = json!(folder.path().join("root"));
        fs::write(file, config.to_string()).unwrap();
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let port = free_port();
        let child = spawn(folder.path(), &arguments, port);
        let mut jupyter = Self {
            child,
            folder,
            arguments,
            port,
            base,
        };
        // Another process may have taken the port.
        for _ in 0..5 {
            if jupyter.is_ready() {
                return jupyter;
            }
            jupyter.port = free_port();
            jupyter.child = spawn(jupyter.folder.path(), &jupyter.arguments, jupyter.port);
        }
        panic!("{}", jupyter.log());
    }

    /// Whether it answers; false if it ended.
    fn is_ready(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while self
            .ask("GET", "api")
            .is_none_or(|(status, _)| status != 200)
        {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "{}", self.log());
            sleep(Duration::from_millis(50));
        }
        true
    }

    /// Kills it, and its kernels find out.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same address, with `token`.
    pub(crate) fn restart(&mut self, token: &str) {
        let with = |text: &String| text.replace(TOKEN, token);
        let arguments: Vec<_> = self.arguments.iter().map(with).collect();
        self.child = spawn(self.folder.path(), &arguments, self.port);
        assert!(self.is_ready(), "{}", self.log());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The address without token and last slash.
    pub(crate) fn url(&self) -> String {
        let url = format!("http://{}{}", self.address(), self.base);
        url.trim_end_matches('/').to_owned()
    }

    /// The address as its page in the browser has it.
    pub(crate) fn setting(&self) -> String {
        format!("jupyter+{}/lab/tree/a%20b.ipynb?token={TOKEN}", self.url())
    }

    /// Where kernels and executors begin.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Lets its kernels lack a package that executors need.
    pub(crate) fn without_psutil(self) -> Self {
        let startup = self.folder.path().join("ipython/profile_default/startup");
        fs::create_dir_all(&startup).unwrap();
        let code = "import sys; sys.modules['psutil'] = None";
        fs::write(startup.join("lacks.py"), code).unwrap();
        self
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("runtime")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The process of the executor that was started last.
    pub(crate) fn executor(&self) -> u32 {
        let ready = fs::read(self.executors_folder().join("ready.json")).unwrap();
        let ready: Value = serde_json::from_slice(&ready).unwrap();
        u32::try_from(ready["pid"].as_u64().unwrap()).unwrap()
    }

    /// Waits until the executor has kept the output `text` of a job.
    pub(crate) fn until_logged(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        let is_logged = || {
            let jobs = fs::read_dir(self.executors_folder().join("state/jobs"));
            let jobs = jobs.into_iter().flatten().flatten();
            let mut logs = jobs.map(|job| fs::read_to_string(job.path().join("log.txt")));
            logs.any(|log| log.is_ok_and(|log| log.contains(text)))
        };
        while !is_logged() {
            assert!(Instant::now() < end, "{text} was not kept");
            sleep(Duration::from_millis(20));
        }
    }

    fn executors_folder(&self) -> PathBuf {
        let servers = self.folder.path().join("home/.cache/smart-colab/servers");
        let server = fs::read_dir(servers).unwrap().next().unwrap().unwrap();
        server.path()
    }

    /// The ids of its kernels.
    pub(crate) fn kernels(&self) -> Vec<String> {
        let (status, body) = self.ask("GET", "api/kernels").unwrap();
        assert_eq!(status, 200, "{body}");
        let kernels: Value = serde_json::from_str(&body).unwrap();
        let ids = kernels.as_array().unwrap().iter();
        ids.map(|kernel| kernel["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Its one kernel.
    #[track_caller]
    pub(crate) fn helper(&self) -> String {
        let kernels = self.kernels();
        let [helper] = kernels.as_slice() else {
            panic!("{kernels:?}")
        };
        helper.clone()
    }

    /// A client beside the bridge.
    pub(crate) fn client(&self) -> Server {
        let endpoint = Endpoint {
            kind: Kind::Jupyter,
            url: Url::parse(&self.url()).unwrap(),
            token: Secret::new(TOKEN),
        };
        Server::new(&endpoint).unwrap()
    }

    /// Sends a request to its REST API; returns status and body, or none if nothing answers.
    pub(crate) fn ask(&self, method: &str, route: &str) -> Option<(u16, String)> {
        self.send(method, route, "")
    }

    /// Opens a notebook in a new kernel, as JupyterLab does; returns the kernel's id.
    pub(crate) fn open(&self, notebook: &str) -> String {
        let session = json!({"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}});
        let (status, body) = self
            .send("POST", "api/sessions", &session.to_string())
            .unwrap();
        assert_eq!(status, 201, "{body}");
        let session: Value = serde_json::from_str(&body).unwrap();
        session["kernel"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn send(&self, method: &str, route: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} {}{route} HTTP/1.0\r\nAuthorization: token {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
            self.base,
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Jupyter {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lets all homes have their executors' packages in one place, so that Python compiles them once.
fn share_packages(home: &Path) {
    let cache = home.join(".cache/smart-colab");
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jupyter-packages");
    fs::create_dir_all(&cache).unwrap();
    fs::create_dir_all(&shared).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(shared, cache.join("packages")).unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(folder: &Path, arguments: &[String], port: u16) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(folder.join("log"));
    let log = log.unwrap();
    let mut command = Command::new(python());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["JUPYTER", "JPY", "KG_", "SMART_COLAB", "PYTHONPATH"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            command.env_remove(name);
        }
    }
    // A server's files need not be where it was started; a gateway has none, and its kernels start there.
    let is_gateway = arguments.contains(&"kernel_gateway".to_owned());
    let started_in = folder.join(if is_gateway { "root" } else { "home" });
    let arguments = arguments
        .iter()
        .map(|text| text.replace("PORT", &port.to_string()));
    command
        .args(arguments)
        .env("HOME", folder.join("home"))
        .env("XDG_DATA_HOME", folder.join("home/data"))
        .env("JUPYTER_RUNTIME_DIR", folder.join("runtime"))
        .env("JUPYTER_CONFIG_DIR", folder.join("config"))
        .env("IPYTHONDIR", folder.join("ipython"))
        .current_dir(started_in)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
