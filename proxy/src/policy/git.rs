//! git over HTTPS, told from a request's path and query. A push is recognised in every encoding a server might
//! accept: a plain word too many refused is better than a push let through.

use std::borrow::Cow;

/// What a git client wants.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum GitOperation {
    /// To read.
    Fetch,
    /// To write.
    Push,
}

/// How often a text is percent-decoded before it is compared.
const ROUNDS: usize = 3;

/// The git operation a request is part of, if any. A request that looks like both is a push.
pub fn git_operation(path: &str, query: Option<&str>) -> Option<GitOperation> {
    let path = decoded(path);
    let in_path = path.split(['/', '\\', ';']).filter_map(service).max();
    // The start of the protocol of old, which has no services: only reading is asked this way.
    let refs = path.trim_end_matches('/').ends_with("/info/refs").then_some(GitOperation::Fetch);
    let in_query = query.into_iter().flat_map(|query| query.split(['&', ';'])).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        match decoded(name).trim() {
            "service" => service(decoded(value).trim()),
            _ => None,
        }
    });
    in_path.max(refs).max(in_query.max())
}

fn service(word: &str) -> Option<GitOperation> {
    match word {
        "git-receive-pack" => Some(GitOperation::Push),
        "git-upload-pack" | "git-upload-archive" => Some(GitOperation::Fetch),
        _ => None,
    }
}

/// Lower case, percent-decoded until nothing changes.
fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..ROUNDS {
        let next = match percent_encoding::percent_decode_str(&text).decode_utf8_lossy() {
            Cow::Borrowed(_) => break,
            Cow::Owned(next) => next,
        };
        text = next;
    }
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_found_in_every_spelling() {
        for (path, query) in [
            ("/o/r.git/git-receive-pack", None),
            ("/o/r.git/git-receive-pack/", None),
            ("/o/r/GIT-RECEIVE-PACK", None),
            ("/o/r.git/git%2Dreceive%2dpack", None),
            ("/o/r.git%2Fgit-receive-pack", None),
            ("/o/r.git%252Fgit-receive-pack", None),
            ("/o/r.git/info/refs", Some("service=git-receive-pack")),
            ("/o/r.git/info/refs", Some("service=git-upload-pack&service=git-receive-pack")),
            ("/o/r.git/info/refs", Some("service=git-receive-pack&service=git-upload-pack")),
            ("/o/r.git/info/refs", Some("x=1;service=git-receive-pack")),
            ("/o/r.git/info/refs", Some("%73ervice=git%2Dreceive-pack")),
            ("/o/r.git/info/refs", Some("Service=Git-Receive-Pack")),
            ("/o/r.git/info/refs", Some("service=git-receive-pack%20")),
            ("/o/r.git/info/refs", Some("service=git%252Dreceive-pack")),
        ] {
            assert_eq!(git_operation(path, query), Some(GitOperation::Push), "{path} {query:?}");
        }
    }

    #[test]
    fn a_fetch_is_no_push_and_the_rest_is_neither() {
        for (path, query) in [
            ("/o/r.git/git-upload-pack", None),
            ("/o/r.git/info/refs", Some("service=git-upload-pack")),
            ("/o/r.git/info/refs", None),
        ] {
            assert_eq!(git_operation(path, query), Some(GitOperation::Fetch), "{path} {query:?}");
        }
        for (path, query) in [
            ("/v1/messages", None),
            ("/docs/git-receive-pack.html", None),
            ("/search", Some("q=git-receive-pack")),
            ("/", Some("service")),
            ("/", Some("")),
        ] {
            assert_eq!(git_operation(path, query), None, "{path} {query:?}");
        }
    }
}
