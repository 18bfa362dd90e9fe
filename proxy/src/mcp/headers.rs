//! What the headers of an MCP request say of its body: its character set, and the method and name that are told a second
//! time for whoever reads no bodies (MCP 2026-07-28, "Transports").

use super::{Posted, Says};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Headers and body are not about the same.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Differs {
    /// The body would be read in another character set.
    #[error("the content type does not say once, and in UTF-8, what the body is")]
    Charset,
    /// A header says something else than the body.
    #[error("the header {0} is there twice, or does not say what the body says")]
    Header(&'static str),
}

/// Whether the body is to be read as UTF-8, as it is here. In UTF-7, say, the same bytes spell other names.
pub fn readable(headers: &HeaderMap) -> Result<(), Differs> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::CONTENT_TYPE) { Err(Differs::Charset) } else { Ok(()) };
    };
    let value = value.to_str().map_err(|_| Differs::Charset)?.to_ascii_lowercase();
    let mut charsets = value.split([';', ',']).filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    let named = charsets.next();
    match named.as_deref() {
        None | Some("utf-8" | "utf8") if charsets.next().is_none() => Ok(()),
        _ => Err(Differs::Charset),
    }
}

/// Whether the headers that repeat the body say the same. They stand only where one message is posted.
pub fn agree(headers: &HeaderMap, posted: &Posted) -> Result<(), Differs> {
    let (method, tool) = match (posted.batch, posted.messages.as_slice()) {
        (false, [message]) => match &message.says {
            Says::Call(call) => (Some("tools/call"), Some(call.tool.as_str())),
            Says::Method(method) => (Some(method.as_str()), None),
            Says::Answer => (None, None),
        },
        _ => (None, None),
    };
    if let Some(told) = single(headers, &METHOD)?
        && Some(told.as_str()) != method
    {
        return Err(Differs::Header("mcp-method"));
    }
    // Of what is not judged by name, the name may be that of anything.
    match (single(headers, &NAME)?, tool) {
        (Some(told), Some(tool)) if told != tool => Err(Differs::Header("mcp-name")),
        _ => Ok(()),
    }
}

/// A header that may be there once, decoded where it is wrapped.
fn single(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Differs> {
    let differs = || Differs::Header(if *name == METHOD { "mcp-method" } else { "mcp-name" });
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(differs());
    }
    let value = value.to_str().map_err(|_| differs())?;
    let wrapped = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let Some(wrapped) = wrapped else { return Ok(Some(value.to_owned())) };
    let bytes = STANDARD.decode(wrapped).map_err(|_| differs())?;
    String::from_utf8(bytes).map(Some).map_err(|_| differs())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_body_is_read_in_utf_8_alone() {
        for fine in [
            &[][..],
            &[("content-type", "application/json")],
            &[("content-type", "Application/JSON; Charset=\"UTF-8\"; x=1")],
        ] {
            assert_eq!(readable(&headers(fine)), Ok(()));
        }
        for bad in [
            &[("content-type", "application/json; charset=utf-7")][..],
            &[("content-type", "application/json; charset=utf-8; charset=utf-16")],
            &[("content-type", "application/json"), ("content-type", "application/json; charset=utf-7")],
            &[("content-type", "application/json,x; charset=latin1")],
            &[("content-type", "application/json; charset=")],
        ] {
            assert_eq!(readable(&headers(bad)), Err(Differs::Charset), "{bad:?}");
        }
    }

    #[test]
    fn what_headers_repeat_is_what_the_body_says() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}"#;
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let batch = format!("[{ping}]");
        let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}"#;
        for (body, pairs, fits) in [
            (call, &[][..], true),
            (call, &[("mcp-method", "tools/call"), ("mcp-name", "read")], true),
            (call, &[("mcp-name", "=?base64?cmVhZA==?=")], true),
            (call, &[("mcp-method", "ping")], false),
            (call, &[("mcp-name", "delete")], false),
            (call, &[("mcp-name", "read"), ("mcp-name", "delete")], false),
            (call, &[("mcp-name", "=?base64?%%?=")], false),
            (ping, &[("mcp-method", "ping")], true),
            (ping, &[("mcp-method", "tools/call"), ("mcp-name", "delete")], false),
            (&batch, &[("mcp-method", "ping")], false),
            (prompt, &[("mcp-method", "prompts/get"), ("mcp-name", "p")], true),
        ] {
            let posted = read(body.as_bytes()).unwrap();
            assert_eq!(agree(&headers(pairs), &posted).is_ok(), fits, "{body} {pairs:?}");
        }
    }
}
