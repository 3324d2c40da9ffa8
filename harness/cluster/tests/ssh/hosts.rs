//! Hosts to reach by SSH.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keelhaul_cluster::local::Local;
use keelhaul_cluster::ssh::Host;
use keelhaul_cluster::{Cluster, Daemon, Node, doctor};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
pub const COUNT: u16 = 3;

/// Machines with SSH servers, and how to log in to them.
pub struct Hosts {
    /// The machines, as their owner sees them.
    pub machines: Cluster,
    /// Where the keys are.
    pub dir: PathBuf,
}

impl Hosts {
    pub async fn start(dir: &Path) -> Self {
        let machines = Local::start(COUNT, &dir.join("machines")).await.unwrap();
        keygen(&dir.join("user"));
        keygen(&dir.join("stranger"));
        let user = fs::read(dir.join("user.pub")).unwrap();
        let mut known = String::new();
        for node in machines.nodes() {
            let key = dir.join(format!("host-{}", node.id()));
            keygen(&key);
            serve(node, &fs::read(&key).unwrap(), &user).await;
            let public = fs::read_to_string(key.with_extension("pub")).unwrap();
            known += &format!("{} {public}", node.address());
        }
        fs::write(dir.join("known"), known).unwrap();
        Self { machines, dir: dir.to_owned() }
    }

    /// All of them, with the right key and the right known hosts.
    pub fn all(&self) -> Vec<Host> {
        let host = |node: &Node| Host {
            host: node.address().to_string(),
            user: Some("root".into()),
            key: Some(self.dir.join("user")),
            known_hosts: Some(self.dir.join("known")),
            ..Host::default()
        };
        self.machines.nodes().iter().map(host).collect()
    }

    /// The same as an inventory.
    pub fn inventory(&self) -> String {
        let file = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        let mut inventory = String::new();
        for Host { host, key, known_hosts, .. } in self.all() {
            let (key, known) = (file(key).unwrap(), file(known_hosts).unwrap());
            inventory += &format!("[[node]]\nhost = {host:?}\nuser = \"root\"\n");
            inventory += &format!("key = {key:?}\nknown-hosts = {known:?}\n");
        }
        inventory
    }
}

/// Why there can be no hosts here.
pub fn lacking() -> Option<String> {
    if let Some(missing) = doctor::probe().into_iter().find(|finding| !finding.ok) {
        return Some(format!("{} do not work here: {}", missing.what, missing.detail));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        return Some("an SSH server changes users, which needs root".into());
    }
    let programs = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"];
    let absent = programs.iter().find(|program| !Path::new(program).exists())?;
    Some(format!("{absent} is not installed (packages openssh-server and openssh-client)"))
}

fn keygen(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path);
    assert!(keygen.stdout(Stdio::null()).status().unwrap().success());
}

async fn serve(node: &Node, host_key: &[u8], user: &[u8]) {
    let config = "Port 22\nHostKey /etc/ssh/keelhaul_key\nAuthorizedKeysFile /etc/ssh/keelhaul_users\n\
                  PasswordAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\nStrictModes no\n\
                  PidFile none\nSubsystem sftp internal-sftp\n";
    node.write_file("/etc/ssh/keelhaul_config", config.as_bytes(), 0o600).await.unwrap();
    node.write_file("/etc/ssh/keelhaul_key", host_key, 0o600).await.unwrap();
    node.write_file("/etc/ssh/keelhaul_users", user, 0o644).await.unwrap();
    node.write_file("/run/sshd/.keep", b"", 0o600).await.unwrap();
    let argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/keelhaul_config"];
    let argv = argv.map(str::to_owned).to_vec();
    node.start(Daemon { name: "sshd".into(), argv, ..Daemon::default() }).await.unwrap();
    let address = SocketAddr::from((node.address(), 22));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        let log = node.read_file("/var/log/keelhaul/sshd.log", 10_000).await.unwrap_or_default();
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&log));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
