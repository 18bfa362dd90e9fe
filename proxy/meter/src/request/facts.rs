//! stub
use super::{RequestError, RequestFacts};
use hudson_schema::Format;
pub(super) fn read(_: Format, _: &str, _: Option<&str>, _: &[u8]) -> Result<RequestFacts, RequestError> { Ok(RequestFacts { choices: 1, ..RequestFacts::default() }) }
