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

/// Methods by which files are written (RFC 4918, RFC 9110).
const DAV: [&str; 10] =
    ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "PROPFIND", "PROPPATCH", "PATCH"];
/// How often a text is percent-decoded before it is compared.
const ROUNDS: usize = 3;

/// The git operation a request is part of, if any. A request that looks like both is a push.
pub fn git_operation(method: &str, path: &str, query: Option<&str>) -> Option<GitOperation> {
    let path = decoded(path);
    let in_path = path.split(['/', '\\', ';']).filter_map(service).max();
    let refs = is_dumb(path.trim_end_matches('/')).then_some(match DAV.contains(&method) {
        true => GitOperation::Push,
        false => GitOperation::Fetch,
    });
    let in_query = query.into_iter().flat_map(|query| query.split(['&', ';'])).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        match decoded(name).trim() {
            "service" => service(decoded(value).trim()),
            _ => None,
        }
    });
    in_path.max(refs).max(in_query.max())
}

/// Whether a path is one of the protocol of old, which has no services: files of the repository itself, read by GET and
/// written by WebDAV (git's Documentation/gitprotocol-http, "Dumb Clients").
fn is_dumb(path: &str) -> bool {
    let words: Vec<&str> = path.split(['/', '\\', ';']).collect();
    let hash = |word: &str, digits: [usize; 2]| {
        digits.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match words.as_slice() {
        [.., "info", "refs"] => true,
        [.., "objects", "info", "packs" | "alternates" | "http-alternates"] => true,
        [.., "objects", "pack", file] => file.starts_with("pack-"),
        [.., "objects", front, back] => hash(front, [2, 2]) && hash(back, [38, 62]),
        [.., repository, "head" | "config" | "packed-refs"] => repository.ends_with(".git"),
        [.., repository, "refs", _, _] => repository.ends_with(".git"),
        _ => false,
    }
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
            assert_eq!(git_operation("GET", path, query), Some(GitOperation::Push), "{path} {query:?}");
        }
    }

    #[test]
    fn writing_the_files_of_a_repository_is_a_push() {
        for (method, path) in [
            ("PUT", "/o/r.git/objects/0f/0123456789abcdef0123456789abcdef012345"),
            ("MOVE", "/o/r.git/refs/heads/main"),
            ("LOCK", "/o/r.git/refs/heads/main"),
            ("PROPFIND", "/o/r.git/info/refs"),
        ] {
            assert_eq!(git_operation(method, path, None), Some(GitOperation::Push), "{method} {path}");
        }
    }

    #[test]
    fn a_fetch_is_no_push_and_the_rest_is_neither() {
        for (path, query) in [
            ("/o/r.git/git-upload-pack", None),
            ("/o/r.git/info/refs", Some("service=git-upload-pack")),
            ("/o/r.git/info/refs", None),
            ("/o/r.git/HEAD", None),
            ("/o/r.git/refs/heads/main", None),
            ("/o/r.git/objects/info/packs", None),
            ("/o/r/objects/0f/0123456789abcdef0123456789abcdef012345", None),
            ("/o/r/objects/%30f/0123456789abcdef0123456789abcdef012345", None),
            ("/o/r/objects/pack/pack-0123456789abcdef0123456789abcdef01234567.idx", None),
        ] {
            assert_eq!(git_operation("GET", path, query), Some(GitOperation::Fetch), "{path} {query:?}");
        }
        for (path, query) in [
            ("/v1/messages", None),
            ("/docs/git-receive-pack.html", None),
            ("/search", Some("q=git-receive-pack")),
            ("/v1/objects/12/items", None),
            ("/o/head", None),
            ("/", Some("service")),
            ("/", Some("")),
        ] {
            assert_eq!(git_operation("GET", path, query), None, "{path} {query:?}");
        }
    }
}
