//! The tunnels, as processes.

use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load;

/// How long a tunnel may take until it carries something.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub enum Contestant {
    /// No tunnel.
    Direct,
    Muxado,
    Bore,
    Rathole,
    /// With its transport that encrypts.
    RatholeNoise,
}

/// A tunnel that runs. Dropping it ends its processes.
pub struct Running {
    /// Where it leads to the service.
    pub address: SocketAddr,
    processes: Vec<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Fails only where it has ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Contestant {
    pub const ALL: [Self; 5] =
        [Self::Direct, Self::Muxado, Self::Bore, Self::Rathole, Self::RatholeNoise];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Muxado => "muxado",
            Self::Bore => "bore",
            Self::Rathole => "rathole",
            Self::RatholeNoise => "rathole-noise",
        }
    }

    /// Starts it, and waits until it carries something. `None` if it is not installed.
    pub async fn start(self, service: SocketAddr) -> io::Result<Option<Running>> {
        let started = match self {
            Self::Direct => Ok(Running { address: service, processes: Vec::new() }),
            Self::Muxado => muxado(service),
            Self::Bore => bore(service),
            Self::Rathole => rathole(service, None),
            Self::RatholeNoise => rathole_keys().and_then(|keys| rathole(service, Some(&keys))),
        };
        let running = match started {
            Ok(running) => running,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let deadline = Instant::now() + LIMIT;
        while !load::is_there(running.address).await {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{}: it carries nothing", self.name())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(running))
    }
}

/// Starts a program. A pipe as `output` has to be read, or the program would wait.
fn start(program: &Path, arguments: &[&str], output: Stdio) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    command.spawn()
}

/// A port that was free a moment ago.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// What stands behind a text on a line of a program's output. Its further output is thrown away.
fn line(process: &mut Child, texts: &[&str]) -> io::Result<Vec<String>> {
    let stdout = process.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let mut found = Vec::new();
    for text in texts {
        let rest = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once(text).map(|(_, rest)| rest.trim().to_owned()));
        found.push(rest.ok_or_else(|| io::Error::other(format!("no {text:?} in the output")))?);
    }
    std::thread::spawn(move || lines.for_each(drop));
    Ok(found)
}

fn muxado(service: SocketAddr) -> io::Result<Running> {
    let program = muxado_tests::programs::example("muxado-tokio", "tunnel", "release-lto")?;
    let directory = directory()?;
    let file = |name| directory.join(name).display().to_string();
    let (any, token) = ("127.0.0.1:0", "muxado-tunnels");
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let arguments =
        ["server", "--listen", any, "--http", any, "--admin", any, "--tcp", "127.0.0.1"];
    let arguments =
        [&arguments[..], &["--token", token, "--certificate", &certificate, "--key", &key]]
            .concat();
    let mut server = start(&program, &arguments, Stdio::piped())?;
    let found = line(&mut server, &["agents connect to ", "fingerprint "]);
    let mut running = Running { address: service, processes: vec![server] };
    let found = found?;
    let offer = format!("0={service}");
    let arguments = ["agent", "--server", &found[0], "--fingerprint", &found[1], "--name", "a"];
    let arguments = [&arguments[..], &["--token", token, "--tcp", &offer]].concat();
    let mut agent = start(&program, &arguments, Stdio::piped())?;
    let found = line(&mut agent, &["serves tcp port "]);
    running.processes.push(agent);
    let port: u16 = found?[0].parse().map_err(io::Error::other)?;
    running.address.set_port(port);
    Ok(running)
}

fn bore(service: SocketAddr) -> io::Result<Running> {
    let address = free()?;
    let program = Path::new("bore");
    let server = start(program, &["server", "--bind-addr", "127.0.0.1"], Stdio::null())?;
    let mut running = Running { address, processes: vec![server] };
    // Its control port is fixed.
    let deadline = Instant::now() + LIMIT;
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, 7835)).is_err() {
        if Instant::now() > deadline {
            return Err(io::Error::other("bore: the server does not listen"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (local, remote) = (service.port().to_string(), address.port().to_string());
    let arguments = ["local", &local, "--to", "127.0.0.1", "--port", &remote];
    running.processes.push(start(program, &arguments, Stdio::null())?);
    Ok(running)
}

/// A pair of keys for its transport that encrypts.
struct Keys {
    private: String,
    public: String,
}

fn rathole_keys() -> io::Result<Keys> {
    let output = Command::new("rathole").arg("--genkey").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Each key is on the line below its name.
    let key = |name: &str| {
        let mut lines = text.lines().skip_while(|line| !line.starts_with(name)).skip(1);
        let key = lines.next().map(|line| line.trim().to_owned());
        key.ok_or_else(|| io::Error::other(format!("no {name} in {text:?}")))
    };
    Ok(Keys { private: key("Private")?, public: key("Public")? })
}

fn rathole(service: SocketAddr, noise: Option<&Keys>) -> io::Result<Running> {
    let (control, address, directory) = (free()?, free()?, directory()?);
    let token = "default_token = \"muxado-tunnels\"";
    let transport = |end: &str, key: String| match noise {
        Some(_) => {
            format!("[{end}.transport]\ntype = \"noise\"\n[{end}.transport.noise]\n{key}\n")
        }
        None => String::new(),
    };
    let key = |name: &str, key: fn(&Keys) -> &String| {
        noise.map(|keys| format!("{name} = \"{}\"", key(keys))).unwrap_or_default()
    };
    let server = format!(
        "[server]\nbind_addr = \"{control}\"\n{token}\n{}\
        [server.services.s]\nbind_addr = \"{address}\"\n",
        transport("server", key("local_private_key", |keys| &keys.private)),
    );
    let client = format!(
        "[client]\nremote_addr = \"{control}\"\n{token}\n{}\
        [client.services.s]\nlocal_addr = \"{service}\"\n",
        transport("client", key("remote_public_key", |keys| &keys.public)),
    );
    let mut running = Running { address, processes: Vec::new() };
    for (name, text) in [("server", server), ("client", client)] {
        let path = directory.join(format!("{name}.toml"));
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        let arguments = [&*format!("--{name}"), &path];
        running.processes.push(start(Path::new("rathole"), &arguments, Stdio::null())?);
    }
    Ok(running)
}

/// A directory for files, emptied.
fn directory() -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("muxado-tunnels-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
