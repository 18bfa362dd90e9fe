//! What a bottle asks through the proxy, at `http://_egress.local/`: the same questions and answers, and nothing that
//! decides.

use super::answers::{self, Manner};
use super::reply::Reply;
use crate::approvals::desk::{Asker, Desk};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use hudson_proxy::Run;
use hudson_proxy::confirm::{Confirm, Question};
use std::sync::Arc;

#[async_trait]
impl Confirm for Desk {
    async fn answer(&self, run: &Arc<Run>, question: Question) -> Response<Bytes> {
        let asker = Asker { run: run.id.clone(), bottle: run.bottle.clone() };
        reply(self, &asker, &question).await.bytes()
    }
}

async fn reply(desk: &Desk, asker: &Asker, question: &Question) -> Reply {
    let manner = Manner { query: &question.query, headers: &question.headers, base: None };
    let words: Vec<&str> = question.path.strip_prefix('/').unwrap_or_default().split('/').collect();
    match (&question.method, words.as_slice()) {
        (&Method::POST, ["confirm"]) => answers::submit(desk, asker, manner, &question.body).await,
        (&Method::GET, ["confirm", id]) if !id.is_empty() => {
            answers::read(desk, Some(&asker.bottle), id, manner).await
        }
        (&Method::GET | &Method::HEAD, ["health"]) => answers::health(desk, Some(Some(&asker.bottle))).await,
        (_, ["confirm"]) => not_allowed("POST"),
        (_, ["health"]) => not_allowed("GET"),
        (_, ["confirm", id]) if !id.is_empty() => not_allowed("GET"),
        // Nothing here decides, whatever the method.
        _ => Reply::error(
            StatusCode::NOT_FOUND,
            "not_found",
            "not found; POST /confirm asks, GET /confirm/ID reads",
        ),
    }
}

fn not_allowed(method: &str) -> Reply {
    Reply::error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("only {method} is answered here"),
    )
    .with(header::ALLOW, method)
}
