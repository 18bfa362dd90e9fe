use super::*;
use hudson_meter::request::realtime::read;
use proptest::prelude::*;

const ON: &str = r#"{"type":"server_vad"}"#;

fn message(kind: &str, turns: &str) -> RealtimeMessage {
    let text =
        format!(r#"{{"type":"{kind}","session":{{"audio":{{"input":{{"turn_detection":{turns}}}}}}}}}"#);
    read(text.as_bytes()).unwrap()
}

fn heard() -> Session {
    let mut session = Session::default();
    session.hear(4_000);
    session
}

#[test]
fn what_is_not_known_to_be_silent_works() {
    let mut session = heard();
    assert!(session.works(), "nothing is known yet");
    session.change(&message("session.update", "null"));
    assert!(session.works(), "it is only asked for");
    session.state(&message("session.created", ON), false);
    assert!(session.works());
    session.state(&message("session.updated", "null"), true);
    assert!(!session.works());
    session.change(&message("session.update", ON));
    assert!(session.works(), "it may hold at any moment");
    assert!(!Session::default().works(), "there is nothing to work on");
}

#[test]
fn the_cap_is_the_largest_that_may_hold() {
    let terms = |kind: &str, cap: &str| {
        read(format!(r#"{{"type":"{kind}","session":{{"max_output_tokens":{cap}}}}}"#).as_bytes()).unwrap()
    };
    let mut session = Session::default();
    assert_eq!(session.cap(), None);
    session.change(&terms("session.update", "5"));
    assert_eq!(session.cap(), None, "the server has not said that it holds");
    session.state(&terms("session.updated", "5"), true);
    assert_eq!(session.cap(), Some(5));
    session.change(&terms("session.update", "90"));
    session.change(&message("session.update", "null"));
    assert_eq!(session.cap(), Some(90));
    session.change(&terms("session.update", "\"inf\""));
    assert_eq!(session.cap(), None);
}

#[test]
fn the_input_is_all_that_was_said_up_to_the_context() {
    let mut session = Session::default();
    let input = |session: &Session| session.unasked(&[]).input_estimate;
    session.say(20_000);
    assert_eq!(input(&session), 20_000);
    session.say(20_000);
    assert_eq!(input(&session), 40_000, "the model is not known");
    session.model = Some("gpt-realtime".to_owned());
    assert_eq!(input(&session), 32_768);
}

proptest! {
    /// Whatever is asked for and answered, in order, refused now and then: a session that may listen counts as one.
    #[test]
    fn no_order_of_changes_makes_a_listening_session_silent(
        asked in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4usize), 0..60),
    ) {
        let mut session = heard();
        session.state(&message("session.created", ON), false);
        let (mut truth, mut under_way) = (true, VecDeque::new());
        let turns = |on: bool| if on { ON } else { "null" };
        for (on, taken, answers) in asked {
            session.change(&message("session.update", turns(on)));
            under_way.push_back((on, taken));
            for _ in 0..answers {
                // An error answers nothing here.
                let Some((on, taken)) = under_way.pop_front() else { break };
                if taken {
                    truth = on;
                    session.state(&message("session.updated", turns(on)), true);
                }
            }
            let may = truth || under_way.iter().any(|(on, taken)| *on && *taken);
            prop_assert!(session.works() || !may);
        }
    }
}
