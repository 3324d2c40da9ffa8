//! What the owner of a host has there: packet filter tables, a qdisc, a mount, a process. All of it must be as it was, whatever a run does and
//! however it ends.

use std::fmt::Write;
use std::net::Ipv4Addr;

use keelhaul_agent::netlink::tables::{
    NF_DROP, NFPROTO_INET, NFPROTO_IPV4, Table, from_source, verdict,
};
use keelhaul_agent::netlink::{Message, Socket};
use keelhaul_cluster::{Command, Daemon, Node, SELF_EXE};

/// Kinds of questions for all tables, chains and rules: `linux/netfilter/nf_tables.h`.
const QUESTIONS: [(&str, u16); 3] =
    [("table", 10 << 8 | 1), ("chain", 10 << 8 | 4), ("rule", 10 << 8 | 7)];
/// `struct nfgenmsg`, which tells the number of the last change of anything.
const CHANGING_BYTES: usize = 4;

/// Run on a host: makes what is its owner's. The second table has the name of ours, and another family.
pub fn own() -> u8 {
    let tables = [
        Table { family: NFPROTO_INET, name: "owner" },
        Table { family: NFPROTO_IPV4, name: "keelhaul" },
    ];
    for table in tables {
        let nobody = Ipv4Addr::new(192, 0, 2, 1);
        let rule = table.rule("input", |m| verdict(from_source(m, nobody), NF_DROP));
        let batch = vec![table.create(), table.input_chain("input", 0), rule];
        Socket::netfilter().unwrap().transaction(batch).unwrap();
    }
    0
}

/// Run on a host: prints what its packet filter holds.
pub fn filters() -> u8 {
    for (what, kind) in QUESTIONS {
        let everything = Message::new(kind, 0).fixed(&[0; CHANGING_BYTES]);
        for payload in Socket::netfilter().unwrap().dump(everything).unwrap() {
            let bytes = payload[CHANGING_BYTES..].iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            });
            println!("{what} {bytes}");
        }
    }
    0
}

async fn said(machine: &Node, words: &[&str]) -> String {
    let output = machine.run(Command::new(words.iter().copied())).await.unwrap();
    assert!(output.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Gives a host what is its owner's.
pub async fn become_owned(machine: &Node) {
    said(machine, &[SELF_EXE, "own"]).await;
    let script = "mkdir -p /tmp/owner && mount -t tmpfs owner /tmp/owner && echo his > /tmp/owner/file && \
                  if command -v tc; then tc qdisc add dev eth0 root handle 1: pfifo limit 100; fi";
    said(machine, &["sh", "-c", script]).await;
    let argv = ["sleep", "987654"].map(str::to_owned).to_vec();
    machine.start(Daemon { name: "owner".into(), argv, ..Daemon::default() }).await.unwrap();
}

/// Everything of the kinds that a run touches, a line each.
pub async fn state_of(machine: &Node) -> String {
    let script = "cat /proc/self/mountinfo /tmp/owner/file; pgrep -f 'slee[p] 987654'; \
                  if command -v tc; then tc qdisc show; fi; ls -A /run/keelhaul | grep -v lock; true";
    said(machine, &[SELF_EXE, "filters"]).await + &said(machine, &["sh", "-c", script]).await
}
