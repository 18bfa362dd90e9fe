//! What the WebSocket target does.

use hudson_proxy::websocket::{Counts, Handing, Message, Passage, Sender, Violation};
use secrecy::SecretString;

/// What went on of a direction fed in pieces of `size`, what was handed out, and the verdict. A byte picks who sends and
/// what is done with messages.
pub fn read(which: u8, wire: &[u8], size: usize) -> (Vec<u8>, Vec<Message>, Option<Violation>, Counts) {
    let seen = Handing::Seen { bound: 64 };
    let read = which % 8 == 7;
    let mut passage = match which % 4 {
        0 => Passage::new(Sender::Client, 4096, seen),
        1 => Passage::without(vec![SecretString::from("sk-0123456789".to_owned())], 4096, seen),
        2 => Passage::new(Sender::Client, 4096, Handing::Held { bound: 256 }),
        _ if read => Passage::new(Sender::Server, 4096, Handing::Read),
        _ => Passage::new(Sender::Server, 4096, Handing::Streamed),
    };
    let (mut out, mut messages, mut verdict) = (Vec::new(), Vec::new(), None);
    // What was read of the message under way, and of all of them.
    let (mut stretches, mut seen) = (Vec::new(), 0);
    'all: for mut piece in wire.chunks(size.min(wire.len().max(1))) {
        loop {
            let mut fed = passage.feed(&mut piece);
            if let Ok(Some(message)) = &mut fed {
                if read {
                    seen += message.payload.len();
                    stretches.append(&mut message.payload);
                    message.payload = std::mem::take(&mut stretches);
                }
                passage.admit(&message.payload);
            } else if read {
                let stretch = passage.piece();
                seen += stretch.len();
                stretches.extend(stretch);
            }
            if read && fed.is_ok() {
                assert_eq!(seen as u64, passage.counts().bytes, "something went on that nobody read");
            }
            out.extend_from_slice(passage.out());
            passage.clear_out();
            match fed {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => {
                    verdict = Some(violation);
                    break 'all;
                }
            }
        }
    }
    let mut counts = passage.counts();
    if verdict.is_some() {
        // Bytes of the frame that broke off are counted as far as they came.
        counts.bytes = 0;
    }
    if which % 4 != 1 && which % 4 != 2 {
        assert!(wire.starts_with(&out), "something else went on than came");
    }
    if which % 4 == 1 {
        let mut reader = Passage::new(Sender::Server, 4096, Handing::Seen { bound: 4096 });
        let mut left = &out[..];
        while let Some(message) = reader.feed(&mut left).expect("what went on is allowed") {
            let value = message.payload.windows(13).any(|bytes| bytes == b"sk-0123456789");
            assert!(!value, "the value went on");
        }
    }
    (out, messages, verdict, counts)
}
