//! What holds for all bytes: the split never matters, what is written is read, and an independent implementation reads
//! the same.

use super::*;

proptest! {
    #[test]
    fn any_split_of_any_bytes_gives_the_same_frames_and_verdict(
        noise in noise(), cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        splits_agree(Sender::Client, &noise, &cuts);
        splits_agree(Sender::Server, &noise, &cuts);
    }

    #[test]
    fn any_split_of_traffic_with_one_wrong_byte_gives_the_same_frames_and_verdict(
        messages in prop::collection::vec(sent(), 1..4), place: usize, byte: u8,
        cuts in prop::collection::vec(any::<usize>(), 0..6), client: bool,
    ) {
        let (sender, key) = if client { (Sender::Client, Some(KEY)) } else { (Sender::Server, None) };
        let mut wire = traffic(&messages, key);
        let place = place % wire.len();
        wire[place] = byte;
        splits_agree(sender, &wire, &cuts);
    }

    #[test]
    fn what_is_written_is_read_and_goes_on_byte_for_byte(
        messages in prop::collection::vec(sent(), 0..5), cuts in prop::collection::vec(any::<usize>(), 0..6), client: bool,
    ) {
        let (sender, key) = if client { (Sender::Client, Some(KEY)) } else { (Sender::Server, None) };
        let mut wire = traffic(&messages, key);
        wire.extend(close_frame(1000, "bye", key));
        let pieces = at(&wire, &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let seen = Passage::new(sender, DEFAULT_MESSAGE, Handing::Seen { bound: 1 << 20 });
        let (out, read, verdict, passage) = pass(seen, &pieces);
        prop_assert_eq!((out, verdict), (wire, Ok(())));
        let payloads: Vec<(bool, Vec<u8>)> =
            read.iter().map(|read| (read.kind == MessageKind::Text, read.payload.clone())).collect();
        let wanted: Vec<(bool, Vec<u8>)> = messages.iter().map(|sent| (sent.text, sent.payload.clone())).collect();
        prop_assert_eq!(payloads, wanted);
        prop_assert_eq!(passage.counts().messages, messages.len() as u64);
        prop_assert_eq!(passage.close(), Some(&Close { code: 1000, reason: "bye".to_owned() }));
    }

    #[test]
    fn what_is_read_piece_by_piece_is_there_before_it_goes_on(
        messages in prop::collection::vec(sent(), 0..5), cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let wire = traffic(&messages, None);
        let mut passage = Passage::new(Sender::Server, DEFAULT_MESSAGE, Handing::Read);
        let (mut read, mut whole, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for piece in at(&wire, &cuts) {
            let mut input = &piece[..];
            loop {
                let message = passage.feed(&mut input).unwrap();
                read.extend(message.as_ref().map_or_else(|| passage.piece(), |message| message.payload.clone()));
                out.extend_from_slice(passage.out());
                passage.clear_out();
                let Some(message) = message else { break };
                prop_assert_eq!(message.length, read.len() as u64);
                prop_assert!(passage.is_between_messages());
                whole.push(std::mem::take(&mut read));
            }
        }
        prop_assert_eq!(out, wire);
        let wanted: Vec<Vec<u8>> = messages.into_iter().map(|sent| sent.payload).collect();
        prop_assert_eq!(whole, wanted);
    }

    #[test]
    fn tungstenite_reads_the_same_messages(messages in prop::collection::vec(sent(), 0..5), client: bool) {
        let (sender, key, role) = match client {
            true => (Sender::Client, Some(KEY), Role::Server),
            false => (Sender::Server, None, Role::Client),
        };
        let wire = traffic(&messages, key);
        let theirs = tungstenite_reads(wire.clone(), role);
        for handing in [Handing::Seen { bound: 1 << 20 }, Handing::Held { bound: 1 << 20 }] {
            let (out, read, verdict, _) = pass(Passage::new(sender, DEFAULT_MESSAGE, handing), &[&wire]);
            prop_assert_eq!(verdict, Ok(()));
            let ours: Vec<_> = read.into_iter().map(|read| (read.kind, read.payload)).collect();
            prop_assert_eq!(&ours, &theirs);
            // What goes on is the same to them, whether it streamed or was held.
            prop_assert_eq!(&tungstenite_reads(out, role), &theirs);
        }
    }

    #[test]
    fn what_goes_on_of_anything_are_the_first_frames_of_it(noise in noise(), client: bool) {
        let sender = if client { Sender::Client } else { Sender::Server };
        let (out, _, _, passage) = pass(Passage::new(sender, 1 << 16, Handing::Streamed), &[&noise]);
        prop_assert!(noise.starts_with(&out));
        let again = read(sender, 1 << 16, &[&out]);
        prop_assert_eq!((again.begun, again.violation), (None, None));
        prop_assert!(passage.is_between_frames());
    }

    #[test]
    fn a_value_is_taken_out_at_every_split_into_fragments_and_pieces(
        before in "[a-z]{0,12}", after in "[a-z]{0,12}", cuts in prop::collection::vec(0usize..40, 0..6),
        ping: bool, pieces in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let text = format!("{before}{SECRET}{after}");
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.sort_unstable();
        let message =
            Sent { text: true, payload: text.clone().into_bytes(), cuts, ping: ping.then(|| SECRET.as_bytes().to_vec()) };
        let clean = Sent {
            payload: text.replace(SECRET, &"*".repeat(SECRET.len())).into_bytes(),
            ping: ping.then(|| vec![b'*'; SECRET.len()]),
            ..message.clone()
        };
        let wire = traffic(&[message.clone(), message], None);
        let pieces = at(&wire, &pieces);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let values = vec![SecretString::from(SECRET.to_owned())];
        let passage = Passage::without(values, DEFAULT_MESSAGE, Handing::Streamed);
        let (out, _, verdict, passage) = pass(passage, &pieces);
        prop_assert_eq!((out, verdict), (traffic(&[clean.clone(), clean], None), Ok(())));
        prop_assert!(passage.is_between_frames());
    }
}
