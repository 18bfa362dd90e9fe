//! A webhook: one signed POST of the notification as it is. And a way back, where the settings say so: decisions that are
//! signed with the same secret.
//!
//! Invariant: neither the signing secret nor the URL's path is in any error; nor is the host, where that is a secret.

use super::send::{Answer, Call, Fault, judge};
use super::sign;
use http::{HeaderName, HeaderValue, StatusCode};
use hudson_schema::config::WebhookUrl;
use hudson_schema::ledger::{ApprovalId, Notification, Verdict};
use secrecy::SecretString;
use serde::Deserialize;

/// When an attempt is made, in unix seconds.
pub const TIMESTAMP: &str = "x-hudson-timestamp";
/// Who sends.
pub const SIGNATURE: &str = "x-hudson-signature";
const DELIVERY: &str = "x-hudson-delivery";

/// Where notifications go.
pub struct Webhook {
    /// What decisions are recorded under, where they are taken.
    pub decides_as: Option<String>,
    url: WebhookUrl,
    secret: SecretString,
    /// What an error says in place of a host that is a secret.
    shown: Option<String>,
}

impl Webhook {
    /// A webhook; `shown` stands for the host where that must not be told.
    pub fn new(
        url: WebhookUrl,
        secret: SecretString,
        shown: Option<String>,
        decides_as: Option<String>,
    ) -> Self {
        Self { decides_as, url, secret, shown }
    }

    /// What is sent for a notification.
    pub fn call(&self, notification: &Notification, now: i64) -> Call {
        let timestamp = now.div_euclid(1000).to_string();
        let signature = sign::webhook(&self.secret, &timestamp, notification.payload.as_bytes());
        let headers = [(TIMESTAMP, timestamp), (SIGNATURE, signature), (DELIVERY, notification.id.clone())];
        let headers = headers.into_iter().filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
        });
        Call {
            url: self.url.clone(),
            method: http::Method::POST,
            headers: headers.collect(),
            body: notification.payload.clone().into(),
            is_asked: false,
        }
    }

    /// What the answer says. A receiver may be mended: no answer of it is the last.
    pub fn read(&self, answer: &Answer) -> Result<(), Fault> {
        match judge(answer, None, None) {
            Err(Fault::Never(words)) if answer.status != StatusCode::GONE => Err(Fault::Again(words)),
            judged => judged,
        }
    }

    /// The same without a host that must not be told.
    pub fn hide(&self, fault: Fault) -> Fault {
        let Some(shown) = &self.shown else { return fault };
        let hide = |words: String| words.replace(&self.url.authority.host.to_string(), shown);
        match fault {
            Fault::Again(words) => Fault::Again(hide(words)),
            Fault::After(wait, words) => Fault::After(wait, hide(words)),
            Fault::Never(words) => Fault::Never(hide(words)),
        }
    }

    /// Whether this was signed by whoever has the secret.
    pub fn is_signed(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        sign::same(&sign::webhook(&self.secret, timestamp, body), signature)
    }
}

/// A decision that came back. A notification, which the same secret signs, is none: it has other keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The version of its form.
    pub schema: String,
    /// The approval.
    pub id: ApprovalId,
    /// The whole digest of what was shown.
    pub action_digest: String,
    /// What is said.
    pub decision: Verdict,
    /// What tells it from every other.
    pub nonce: String,
    /// Why.
    pub reason: Option<String>,
    /// What it calls its author. Proves nothing.
    pub decided_by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> Webhook {
        let url = "https://hooks.test/a?b=c".parse().unwrap_or_else(|why| panic!("{why}"));
        Webhook::new(url, "s".into(), Some("the host in HOOK".to_owned()), None)
    }

    #[test]
    fn a_retry_is_signed_anew_and_has_the_same_id() {
        let notification = Notification {
            id: "01a1".to_owned(),
            channel: "webhook:$HOOK".to_owned(),
            kind: "bottle_stopped".to_owned(),
            payload: "{}".to_owned(),
            attempt: 1,
        };
        let again = Notification { attempt: 2, ..notification.clone() };
        let [first, second] =
            [(notification, 5_000), (again, 65_000)].map(|(one, at)| webhook().call(&one, at));
        let of = |call: &Call, name: &str| {
            let found = call.headers.iter().find(|(of, _)| of == name);
            found.unwrap().1.to_str().unwrap().to_owned()
        };
        assert_eq!((first.url.named().as_str(), first.url.path.as_str()), ("hooks.test", "/a?b=c"));
        assert_eq!(of(&first, DELIVERY), of(&second, DELIVERY));
        assert_eq!((of(&first, TIMESTAMP), of(&second, TIMESTAMP)), ("5".to_owned(), "65".to_owned()));
        assert_ne!(of(&first, SIGNATURE), of(&second, SIGNATURE));
        assert!(webhook().is_signed("5", b"{}", &of(&first, SIGNATURE)));
        assert!(!webhook().is_signed("6", b"{}", &of(&first, SIGNATURE)));
    }

    #[test]
    fn a_host_that_is_a_secret_is_in_no_error() {
        let fault = webhook().hide(Fault::Again("hooks.test: it does not resolve".to_owned()));
        assert_eq!(fault, Fault::Again("the host in HOOK: it does not resolve".to_owned()));
    }

    #[test]
    fn a_notification_that_is_sent_back_is_no_decision() {
        let id = ApprovalId::of_random([1; 16]);
        let own = format!(
            r#"{{"schema":"1","event":"approval_requested","id":"{id}","approval":{{"id":"{id}"}}}}"#
        );
        assert!(serde_json::from_str::<Decision>(&own).is_err());
        let yes =
            format!(r#"{{"schema":"1","id":"{id}","action_digest":"ab","decision":"approve","nonce":"n"}}"#);
        assert!(serde_json::from_str::<Decision>(&yes).is_ok());
        for wrong in [
            yes.replace("\"approve\"", "true"),
            yes.replace("\"approve\"", "\"Approve\""),
            yes.replace("\"nonce\"", "\"decision\":\"deny\",\"nonce\""),
            yes.replace(",\"nonce\":\"n\"", ""),
        ] {
            assert!(serde_json::from_str::<Decision>(&wrong).is_err(), "{wrong}");
        }
    }
}
