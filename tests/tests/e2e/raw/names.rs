//! A name server of the test's own (RFC 1035), whose answers change, and a `hudson up` that asks no other.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};

use hudson_tests::World;

type Answers = HashMap<String, Vec<Vec<Ipv4Addr>>>;

/// Answers questions for IPv4 addresses; runs until its test ends.
pub(crate) struct Names {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// A name server on an address of its own, because resolvers ask port 53 alone.
    pub(crate) fn start() -> Self {
        let [a, b] = u16::try_from(std::process::id() % 0xffff).expect("16 bits").to_be_bytes();
        let socket = (1..=254).find_map(|host| UdpSocket::bind((Ipv4Addr::new(127, a, b, host), 53)).ok());
        let socket = socket.expect("port 53 of 127.0.0.0/8 can be bound; run the tests as root");
        let address = socket.local_addr().expect("a socket has an address");
        let names = Self { address, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (names.answers.clone(), names.asked.clone());
        std::thread::spawn(move || serve(&socket, &answers, &asked));
        names
    }

    /// What a name resolves to: the first list the first time, the last for ever.
    pub(crate) fn resolves(&self, name: &str, answers: &[&[[u8; 4]]]) {
        let answers = answers.iter().map(|list| list.iter().copied().map(Ipv4Addr::from).collect()).collect();
        self.answers.lock().expect("no holder panics").insert(name.to_owned(), answers);
    }

    /// How often the IPv4 addresses of a name were asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().expect("no holder panics").iter().filter(|asked| *asked == name).count()
    }

    /// The same command where this is the only name server: in a mount namespace with a resolv.conf of its own.
    pub(crate) fn command(&self, world: &World, command: &Command) -> Command {
        let configuration = world.scratch().join("resolv.conf");
        std::fs::write(&configuration, format!("nameserver {}\n", self.address.ip()))
            .expect("files are taken");
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
        inside.arg(&configuration).arg(command.get_program()).args(command.get_args()).env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }
}

fn serve(socket: &UdpSocket, answers: &Mutex<Answers>, asked: &Mutex<Vec<String>>) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let query = &buffer[..length];
        let Some((name, end)) = question(query) else { continue };
        let for_ipv4 = query.get(end..end + 2) == Some(&[0, 1]);
        let addresses = match for_ipv4 {
            true => {
                asked.lock().expect("no holder panics").push(name.clone());
                let mut answers = answers.lock().expect("no holder panics");
                answers
                    .get_mut(&name)
                    .map(|lists| if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() })
            }
            false => answers.lock().expect("no holder panics").get(&name).map(|_| Vec::new()),
        };
        // An answer to this question: recursion was available, and the name exists or does not.
        let code = if addresses.is_some() { 0x80 } else { 0x83 };
        let addresses = addresses.unwrap_or_default();
        let count = u16::try_from(addresses.len()).expect("a few").to_be_bytes();
        let mut answer = [&query[..2], &[0x81, code, 0, 1], &count, &[0; 4], &query[12..end + 4]].concat();
        for address in addresses {
            // The name of the question, IPv4, internet, no time to live, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address.octets());
        }
        socket.send_to(&answer, from).ok();
    }
}

/// The name of the first question, and where its type stands.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}
