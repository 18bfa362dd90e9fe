//! A ClientHello (RFC 8446 section 4.1.2) that is taken apart, changed and put together again.

use super::agent::{Agent, client};

/// The types of extensions (RFC 8446 section 4.2, RFC 9849).
pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// One of the values that mean nothing (RFC 8701).
pub(crate) const GREASE: u16 = 0x1a1a;

/// A hello whose extensions can be changed.
pub(crate) struct Hello {
    head: Vec<u8>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// The hello that this agent sends for a name.
    pub(crate) fn of(agent: &Agent, name: &str) -> Self {
        let mut bytes = Vec::new();
        client(agent.tls_config(&[]), name).write_tls(&mut bytes).expect("a vector takes bytes");
        // Behind the headers of record and message: version and random, then three lists with their lengths.
        let message = &bytes[9..];
        let mut at = 34;
        at += 1 + usize::from(message[at]);
        at += 2 + usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
        at += 1 + usize::from(message[at]);
        let (head, mut rest) = (message[..at].to_vec(), &message[at + 2..]);
        let mut extensions = Vec::new();
        while let [a, b, c, d, more @ ..] = rest {
            let (value, more) = more.split_at(usize::from(u16::from_be_bytes([*c, *d])));
            extensions.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
            rest = more;
        }
        Self { head, extensions }
    }

    /// The same with another value of an extension, or without it.
    pub(crate) fn with(mut self, kind: u16, value: Option<Vec<u8>>) -> Self {
        self.extensions.retain(|(other, _)| *other != kind);
        // The pre-shared key, which has to be last, is in no hello of a new client.
        self.extensions.extend(value.map(|value| (kind, value)));
        self
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, value)| [&kind.to_be_bytes()[..], &short(value.len()), value].concat())
            .collect();
        let body = [&self.head[..], &short(extensions.len()), &extensions].concat();
        let length = u32::try_from(body.len()).expect("a message is short").to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    /// The hello in records of at most this length.
    pub(crate) fn records(&self, length: usize) -> Vec<u8> {
        self.message().chunks(length).flat_map(record).collect()
    }
}

/// A record of the handshake.
pub(crate) fn record(part: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &short(part.len())[..], part].concat()
}

/// The server_name extension with these entries (RFC 6066 section 3).
pub(crate) fn names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| [&[0], &short(name.len())[..], name].concat()).collect();
    [&short(list.len())[..], &list].concat()
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("it is short").to_be_bytes()
}
