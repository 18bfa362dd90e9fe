//! What stands around a value or is known of it: documentation's examples, hashes that are no secrets.

use crate::known::KnownValue;
use secrecy::SecretString;
use sha2::Digest as _;

/// Values from documentation that open nothing, as they stand or as the beginning of one.
const EXAMPLES: &[&str] = &[
    "AKIAIOSFODNN7EX",
    "AKIAIOSFODNN7EXAMPLE",
    "AKIAI44QH8DHBEXAMPLE",
    "AKIAJ4IEXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ASIAEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwI",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lI",
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0K",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzb21lIjoicGF5bG9hZCJ9",
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_test_BQokikJOvBiI2HlWgH4olfQ2",
    "sk-test-4eC39HqLyjWDarjtT1zdp7dc",
    "pk_test_TYooMQauvdEDq54NiTphI7jx",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "GB82WEST12345698765432",
    "GB29NWBK60161331926819",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "CH9300762011623852957",
    "NL91ABNA0417164300",
];
/// Cards that payment services publish for tests.
const CARDS: &[&str] = &[
    "4242424242424242",
    "4111111111111111",
    "4012888888881881",
    "4000000000000002",
    "4000056655665556",
    "4000000000009995",
    "4000000000003220",
    "4000002500003155",
    "4000002760003184",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "5500000000000004",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "378734493671000",
    "6011111111111117",
    "6011000990139424",
    "30569309025904",
    "38520000023237",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "3530111333300000",
    "6200000000000005",
    "4000000000000077",
    "4917610000000000",
    "4222222222222",
];
/// The first eight bytes of the SHA-256 of API keys that samples and tutorials of a vendor have carried for years. They are
/// not written out, so that nobody's scanner finds them here.
const PUBLISHED: &[u64] = &[
    0x27a9a42931dff7eb,
    0x49f777db995e8260,
    0xa6c814bc555ae62c,
    0x8731261cb72d8626,
    0x37f8f09bdf12c2f2,
    0xeb540d2b6ee2a0a4,
    0x2037abcaffb2b777,
    0x3a8b61d0f636b007,
    0x4c98242dcadc8b29,
    0xea9bb1082cf95663,
    0x3f370c9dd8225c63,
    0xa19f89ab3555eac1,
    0xe4a5542bb7fd7b67,
    0xdc0fcf046c61640c,
    0xb7d61096898ce748,
    0xf3082ce9d6992144,
    0x0b476bdf9acf2123,
];
/// How seed phrases of test vectors and of development tools begin.
const PHRASES: &[&str] = &[
    "abandon abandon abandon",
    "legal winner thank year wave sausage",
    "letter advice cage absurd amount doctor",
    "zoo zoo zoo",
    "test test test test test test test test test test test junk",
];
/// Letters of the alphabet in their order that no random value has.
const ALPHABET: usize = 20;
/// Bytes around a value in which a word about hashes is looked for.
const AROUND: usize = 48;
/// Words that say that what stands beside them is a hash.
const HASHES: &[&[u8]] = &[
    b"sha1",
    b"sha256",
    b"sha384",
    b"sha512",
    b"integrity",
    b"checksum",
    b"commit ",
    b"digest",
    b"etag",
    b"index ",
    b"h1:",
    b"md5",
    b"fingerprint",
    b"resolved",
    b"parent ",
    b"tree ",
    b"revision",
    b"hash",
];

/// The values that documentation shows, as values that must not leave.
pub(crate) fn examples() -> impl Iterator<Item = KnownValue> {
    let secrets = EXAMPLES.iter().filter(|example| example.len() >= 16 && example.len() <= 64);
    secrets.map(|example| KnownValue {
        force: true,
        ..KnownValue::secret("documentation example", SecretString::from((*example).to_owned()))
    })
}

/// Whether a value is one that documentation shows.
pub(crate) fn is_example(value: &[u8]) -> bool {
    let digits: Vec<u8> = value.iter().filter(|byte| !matches!(byte, b' ' | b'-')).copied().collect();
    CARDS.iter().any(|card| card.as_bytes() == digits)
        || EXAMPLES
            .iter()
            .any(|example| value.starts_with(example.as_bytes()) || digits == example.as_bytes())
        || value.ends_with(b"EXAMPLE")
        || value.ends_with(b"EXAMPLEKEY")
        || PHRASES.iter().any(|phrase| value.starts_with(phrase.as_bytes()))
        || spells_alphabet(value)
        || is_published(value)
}

fn spells_alphabet(value: &[u8]) -> bool {
    let mut run = 1;
    value.array_windows::<2>().any(|[one, next]| {
        run = if one.checked_add(1) == Some(*next) { run + 1 } else { 1 };
        run >= ALPHABET
    })
}

fn is_published(value: &[u8]) -> bool {
    let head = sha2::Sha256::digest(value).first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head));
    value.starts_with(b"AIza") && PUBLISHED.contains(&head)
}

/// Whether an address with a password leads to a host of documentation (RFC 2606) or to the machine itself.
pub(crate) fn is_example_address(address: &[u8]) -> bool {
    let Some(at) = address.iter().rposition(|byte| *byte == b'@') else { return false };
    let host = address.get(at + 1..).unwrap_or_default().to_ascii_lowercase();
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let last = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    matches!(last, b"example" | b"test" | b"invalid" | b"localhost")
        || [&b"example.com"[..], b"example.org", b"example.net", b"127.0.0.1"]
            .iter()
            .any(|name| host.ends_with(name))
}

/// Whether the value at a place is a hash of a lock file, a commit, or a name made of digits: never a reason to doubt a
/// prefix or a known value, only what is recognised by its looks.
pub(crate) fn is_hash(text: &[u8], start: usize, end: usize) -> bool {
    let value = text.get(start..end).unwrap_or_default();
    let line = |byte: &u8| *byte == b'\n';
    let before = text.get(start.saturating_sub(AROUND)..start).unwrap_or_default();
    let before = before.rsplit(line).next().unwrap_or_default().to_ascii_lowercase();
    let hexadecimal = value.iter().all(u8::is_ascii_hexdigit);
    let named = HASHES.iter().any(|word| memchr::memmem::find(&before, word).is_some());
    named
        && (hexadecimal
            || before.ends_with(b"-")
            || before.ends_with(b":")
            || before.ends_with(b"\"")
            || before.ends_with(b" "))
}

/// Whether one of the words stands within so many bytes of a place.
pub(crate) fn is_near(text: &[u8], start: usize, end: usize, words: &[String]) -> bool {
    const NEAR: usize = 256;
    let around = text.get(start.saturating_sub(NEAR)..(end + NEAR).min(text.len())).unwrap_or_default();
    let around = around.to_ascii_lowercase();
    words.iter().any(|word| memchr::memmem::find(&around, word.as_bytes()).is_some())
}

/// Whether a host is one of these; `*.` stands for any names in front.
pub(crate) fn is_home(host: &str, homes: &[String]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    homes.iter().any(|home| match home.strip_prefix("*.") {
        Some(parent) => {
            host.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        }
        None => host == *home,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_cannot_be_widened() {
        let homes = ["api.github.com".to_owned(), "*.example.com".to_owned()];
        for (host, home) in [
            ("api.github.com", true),
            ("API.GitHub.com.", true),
            ("api.github.com.evil.net", false),
            ("evilapi.github.com", false),
            ("a.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("notexample.com", false),
        ] {
            assert_eq!(is_home(host, &homes), home, "{host}");
        }
    }

    #[test]
    fn an_address_of_documentation_is_told_by_its_host() {
        assert!(
            is_example_address(b"ftp://rms:secret123@example.com:21")
                && is_example_address(b"redis://:pw@localhost")
        );
        assert!(
            !is_example_address(b"postgres://a:b@db.internal")
                && !is_example_address(b"ftp://a:b@example.com.evil.net")
        );
    }

    #[test]
    fn examples_are_told_with_their_separators() {
        assert!(is_example(b"4242 4242 4242 4242") && is_example(b"AKIAIOSFODNN7EXAMPLE"));
        assert!(!is_example(b"4539578763621486"));
    }

    #[test]
    fn a_hash_is_told_by_the_word_in_front() {
        let text = b"resolved \"https://r/x.tgz#2fd4e1c67a2d28fced849ee1bb76e7391b93eb12\"";
        let at = memchr::memmem::find(text, b"2fd4").unwrap();
        assert!(is_hash(text, at, at + 40));
        assert!(!is_hash(b"token = 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", 8, 48));
    }
}
