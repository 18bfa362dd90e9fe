//! The way through a corporate proxy: CONNECT over HTTP/1.1 (RFC 9110 section 9.3.6), and its answer.
//!
//! Invariant: nothing of the host's own connection is read before the proxy's answer is complete, and what the proxy
//! sends beyond its answer ends the dial, for the host has not been spoken to yet.

use super::{DialFault, Via};
use hudson_schema::config::Host;
use secrecy::{ExposeSecret, SecretString};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer to CONNECT, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most headers in it.
const MAX_HEADERS: usize = 64;

/// Asks the proxy at the other end of `stream` for a tunnel to `host`.
pub(super) async fn open(
    stream: &mut TcpStream,
    host: &Host,
    port: u16,
    via: Via<'_>,
) -> Result<(), DialFault> {
    let fault = |why: String| DialFault::Proxy {
        host: host.to_string(),
        proxy: format!("{}:{}", via.authority.host, via.authority.port),
        why,
    };
    let broke = |error: io::Error| fault(format!("broke the connection: {error}"));
    let authorization = via
        .authorization
        .map(|value| format!("Proxy-Authorization: {}\r\n", value.expose_secret()))
        .unwrap_or_default();
    let request = SecretString::from(format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n"
    ));
    stream.write_all(request.expose_secret().as_bytes()).await.map_err(broke)?;
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await.map_err(broke)? == 0 {
            return Err(fault("closed the connection without an answer".to_owned()));
        }
        match read(&head) {
            Ok(Some(status)) => return judge(status).map_err(|why| fault(why.to_owned())),
            Ok(None) if head.len() < MAX_HEAD => {}
            Ok(None) => return Err(fault(format!("answers CONNECT with more than {MAX_HEAD} bytes"))),
            Err(why) => return Err(fault(why.to_owned())),
        }
    }
}

/// The status of a whole answer; `None` while more has to come.
fn read(head: &[u8]) -> Result<Option<u16>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Partial) => Ok(None),
        // RFC 9110 section 9.3.6: a 2xx to CONNECT has no content; of any other answer the status is enough.
        Ok(httparse::Status::Complete(length)) => match response.code {
            Some(200..=299) if length < head.len() => Err("sends bytes before the host can have spoken"),
            Some(status) => Ok(Some(status)),
            None => Err("answers without a status"),
        },
        Err(_) => Err("does not speak HTTP/1.1"),
    }
}

fn judge(status: u16) -> Result<(), String> {
    match status {
        200..=299 => Ok(()),
        407 => {
            Err("asks for credentials or refuses those it was given (407); see upstream.proxy_credentials"
                .to_owned())
        }
        status => Err(format!("refuses CONNECT with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_and_nothing_beyond_it() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: corp\r\n\r\n";
        for end in 0..answer.len() {
            assert_eq!(read(&answer[..end]), Ok(None), "{end}");
        }
        assert_eq!(read(answer), Ok(Some(200)));
        assert!(read(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0").is_err());
        assert_eq!(read(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"), Ok(Some(407)));
        assert!(read(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert!(judge(407).is_err_and(|why| why.contains("proxy_credentials")));
        assert!(judge(204).is_ok() && judge(101).is_err() && judge(302).is_err());
    }
}
