//! Data loss prevention without I/O, async or clock: bytes in, what may pass out.
//!
//! # What it does
//!
//! A part of a request goes through these steps, in this order:
//!
//! 1. content encodings are undone ([`Transport`]), bounded against bombs;
//! 2. a JSON text has its escapes undone with its structure kept, anything else is taken as it is: nothing is skipped for its
//!    declared type (`view::flatten`);
//! 3. views are made where something is encoded: percent, character references, backslashes and quoted-printable, look-alike and unseen
//!    characters, base64 in both alphabets at every alignment, hexadecimal digits, base32, nested (`view`);
//! 4. one filter looks at every byte once for all keywords and all forms of known values (`detect::prefilter`);
//! 5. around a keyword the rule's regex is tried, anchored or in a window (`detect::scan`);
//! 6. a validator judges the value: checksums, alphabets, structures (`validate`);
//! 7. context lowers it: documentation's examples, hashes, home hosts, long runs of base64 (`detect::context`);
//! 8. what is left is a [`Finding`] with a [`Confidence`] and a [`Class`], and the class with the route's [`OnMatch`] is an
//!    [`Action`].
//!
//! # How to use it
//!
//! Compile the detectors once for a configuration, and share them:
//!
//! ```
//! use hudson_dlp::{Class, Detectors, Head, HashKey, KnownValue, OnMatch, Part, Policy, Scanner};
//! use std::sync::Arc;
//!
//! let mut policy = Policy::builtin(HashKey::new([0; 32])).expect("the rules that come with Hudson are sound");
//! policy.known.push(KnownValue::secret("DEPLOY_KEY", "h7Rq2Wv9kLm3XpZt8Yb5".to_owned().into()));
//! let detectors = Arc::new(Detectors::new(policy).expect("so are these"));
//! for left_out in detectors.unused() {
//!     println!("{left_out}"); // too short or too plain to be told from text; tell the operator
//! }
//!
//! // The head of a request. The host is the route's, never what a header says.
//! let head = Head { host: "api.example.com", target: "/v1?q=hello", headers: &[("accept", b"*/*")] };
//! assert!(detectors.scan_head(&head).is_empty());
//!
//! // A body as it flows by: findings come with the block that they stand in.
//! let mut scanner = Scanner::new(Arc::clone(&detectors), Part::Body, "api.example.com");
//! let mut findings = scanner.feed(b"{\"note\": \"h7Rq2Wv9kLm");
//! findings.extend(scanner.feed(b"3XpZt8Yb5\"}"));
//! findings.extend(scanner.finish());
//! assert_eq!(&*findings[0].rule, "known-value");
//! assert_eq!(findings[0].class, Class::Act);
//! println!("{:?}: {}", findings[0].action(OnMatch::Supervise), findings[0].preview);
//! ```
//!
//! * **A whole body** (a route that blocks, holds or redacts): undo its encodings, [`Detectors::scan`] it, add
//!   [`Detectors::scan_joined`], find its [`regions`], [`spare`] what stands in them, take the greatest
//!   [`Finding::action`]. For [`Action::Redact`] call [`Detectors::redact`] on the decoded body; it keeps the length, and an
//!   error means that the request has to be refused as `redaction_unsafe`.
//! * **A streamed body**: feed a [`Scanner`] what the [`Transport`] lets out. Bytes in front of [`Scanner::decided`] are
//!   judged; hold the others back if a match must not have left.
//! * **WebSocket**: one [`Scanner`] with [`Part::Message`] a message, put together from its frames.
//! * **Several messages or requests to one destination**: one [`Fragments`] a run and destination; push each message or body
//!   that was scanned alone, and treat what it says like the findings of that message.
//! * **Answers of a provider**: give each JSON body or event to [`SealedSet::note`], so that signatures and sealed reasoning
//!   are known when they come back.
//! * **What comes in**: an [`InjectionWatch`] on the decoded bytes as they flow by, or [`naive_injection_detection`] on a
//!   whole text; never on the provider's own answers.
//! * [`Class::Trip`] is a canary: block on every route, and act on the bottle.
//! * Suppressions are the caller's: by [`Finding::hash`], or by rule, host and [`Finding::location`]; never of a known value.
//!
//! Invariants: whatever the bytes, nothing here panics; the memory of a scanner is bounded ([`Scanner::MEMORY`]); any
//! chunking of the same bytes gives the same findings; no finding, error or debug output holds a value.

mod decode;
mod detect;
mod finding;
mod fragments;
mod inbound;
mod known;
mod opaque;
mod redact;
mod request;
mod rule;
mod scanner;
mod structure;
mod validate;
mod view;

pub use decode::{MAX_OUTPUT, Transport, Unscannable};
pub use detect::{Detectors, Policy};
pub use finding::{
    Action, Class, Confidence, Encoding, Finding, HashKey, Lowered, OnMatch, Part, Preview, Severity,
};
pub use fragments::Fragments;
pub use inbound::{Injection, InjectionWatch, Signal, naive_injection_detection};
pub use known::{KnownError, KnownKind, KnownValue};
pub use opaque::{Region, RegionKind, SealedSet, regions, spare};
pub use redact::{RedactionUnsafe, Redactor};
pub use request::Head;
pub use rule::{Assigned, Boundary, Examples, Level, Levels, Profile, Rule, RuleError, RuleSet, import};
pub use scanner::Scanner;
pub use structure::locate;
pub use validate::Validator;
