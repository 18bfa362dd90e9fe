//! From a request on a listener to the answer: who comes, what is asked, and whether that is there.

use super::access::{self, Caller};
use super::answers::{self, Manner};
use super::decisions::{self, Repeated, Sent};
use super::lists;
use super::peer;
use super::reply::Reply;
use crate::approvals::desk::Desk;
use crate::approvals::refused::RefusedDecision;
use crate::control::{self, Answerer, Body};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Which of the two listens there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// The confirmation service.
    Confirm,
    /// The admin API.
    Admin,
}

/// Answers at one address.
pub(super) struct Service {
    pub(super) desk: Arc<Desk>,
    pub(super) door: Door,
    pub(super) bound: SocketAddr,
    /// Who is connected.
    pub(super) peer: SocketAddr,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Endpoint<'a> {
    Submit,
    Read(&'a str),
    Decide { id: &'a str, approve: bool, repeated: Repeated },
    Respond,
    Pending,
    One(&'a str),
    Audit,
    Health,
}

impl Answerer for Service {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            // Nothing of it is read before it is known whether it may be here.
            let endpoint = match access::check(&request, self.bound) {
                Ok(()) => request.uri().path().to_owned(),
                Err(refused) => return refused.response(),
            };
            let endpoint = match find(self.door, request.method(), &endpoint) {
                Ok(endpoint) => endpoint,
                Err(refused) => return refused.response(),
            };
            let (parts, body) = request.into_parts();
            let caller = match access::identify(&self.desk, &parts.headers).await {
                Ok(caller) => caller,
                Err(refused) => {
                    self.tell_refused(endpoint, &Caller::Nobody, "wrong_credentials").await;
                    return refused.response();
                }
            };
            let body = match control::read_body(body, BODY_WITHIN).await {
                Ok(body) => body,
                Err(fault) => {
                    return Reply::error(fault.status(), fault.code(), fault.to_string()).response();
                }
            };
            self.serve(endpoint, &caller, &parts, &body).await.unwrap_or_else(|refused| refused).response()
        })
    }
}

impl Service {
    /// A token that a bottle has come by decides nothing from inside of it.
    async fn refuse_bottle(&self, endpoint: Endpoint<'_>, name: &str) -> Result<(), Reply> {
        let (peer, bound) = (self.peer, self.bound);
        let looked = tokio::task::spawn_blocking(move || peer::refuse_bottle(peer, bound)).await;
        let refused = match looked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => format!("{refused:#}"),
            Err(_) => "who is connected cannot be looked at".to_owned(),
        };
        self.tell_refused(endpoint, &Caller::Operator(name.to_owned()), "inside_of_a_bottle").await;
        Err(Reply::error(StatusCode::FORBIDDEN, "forbidden", refused))
    }

    /// Tells, and writes into the audit, that somebody would have decided who may not.
    async fn tell_refused(&self, endpoint: Endpoint<'_>, caller: &Caller, why: &'static str) {
        let id = match endpoint {
            Endpoint::Decide { id, .. } => id.parse().ok(),
            Endpoint::Respond => None,
            _ => return,
        };
        let (actor, is_proved) = match caller {
            Caller::Operator(name) => (format!("token:{name}"), true),
            Caller::Bottle(asker) => (format!("run:{}", asker.run), true),
            Caller::Nobody => ("nobody".to_owned(), false),
        };
        let bottle = match caller {
            Caller::Bottle(asker) => Some(&asker.bottle),
            Caller::Operator(_) | Caller::Nobody => None,
        };
        self.desk.refused.tell(RefusedDecision { actor, is_proved, bottle, approval: id, why }).await;
    }

    async fn serve(
        &self,
        endpoint: Endpoint<'_>,
        caller: &Caller,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> Result<Reply, Reply> {
        let desk = &*self.desk;
        let base = format!("http://{}", self.bound);
        let manner = Manner {
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            base: Some(&base),
        };
        if let Caller::Operator(name) = caller {
            self.refuse_bottle(endpoint, name).await?;
        } else {
            self.tell_refused(endpoint, caller, "not_an_operator").await;
        }
        let operator = || caller.decides(desk);
        let unread = |error: crate::approvals::asked::Unreadable| {
            Reply::error(StatusCode::BAD_REQUEST, "invalid", error.to_string())
        };
        Ok(match endpoint {
            Endpoint::Submit => answers::submit(desk, caller.asks()?, manner, body).await,
            Endpoint::Read(id) => match caller {
                Caller::Bottle(asker) => answers::read(desk, Some(&asker.bottle), id, manner).await,
                _ => {
                    operator()?;
                    answers::read(desk, None, id, manner).await
                }
            },
            Endpoint::Decide { id, approve, repeated } => {
                let actor = operator()?;
                let sent = Sent::of_path(id, approve, body).map_err(unread)?;
                decisions::decide(desk, actor, sent, repeated).await
            }
            Endpoint::Respond => {
                let actor = operator()?;
                decisions::decide(desk, actor, Sent::of_body(body).map_err(unread)?, Repeated::Conflicts)
                    .await
            }
            Endpoint::Pending => {
                operator()?;
                lists::pending(desk).await
            }
            Endpoint::One(id) => {
                operator()?;
                lists::one(desk, id).await
            }
            Endpoint::Audit => {
                operator()?;
                lists::audit(desk, parts.uri.query().unwrap_or_default()).await
            }
            Endpoint::Health => {
                let of = match caller {
                    Caller::Operator(_) => Some(None),
                    Caller::Bottle(asker) => Some(Some(&asker.bottle)),
                    Caller::Nobody => None,
                };
                answers::health(desk, of).await
            }
        })
    }
}

/// What a path asks for at this door.
fn find<'a>(door: Door, method: &Method, path: &'a str) -> Result<Endpoint<'a>, Reply> {
    let words: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
    let deciding = |id, what: &str, repeated| Endpoint::Decide { id, approve: what == "approve", repeated };
    let (wanted, endpoint) = match (door, words.as_slice()) {
        (Door::Confirm, ["confirm"]) => (Method::POST, Endpoint::Submit),
        (Door::Confirm, ["confirm", id]) if !id.is_empty() => (Method::GET, Endpoint::Read(id)),
        (Door::Confirm, ["confirm", id, what @ ("approve" | "deny")]) if !id.is_empty() => {
            (Method::POST, deciding(id, what, Repeated::Conflicts))
        }
        (Door::Confirm, ["respond"]) => (Method::POST, Endpoint::Respond),
        (Door::Confirm, ["pending"]) | (Door::Admin, ["api", "pending"]) => (Method::GET, Endpoint::Pending),
        (Door::Confirm, ["audit"]) => (Method::GET, Endpoint::Audit),
        (Door::Confirm, ["health"]) => (Method::GET, Endpoint::Health),
        (Door::Admin, ["api", "pending", id]) if !id.is_empty() => (Method::GET, Endpoint::One(id)),
        (Door::Admin, ["api", what @ ("approve" | "deny"), id]) if !id.is_empty() => {
            (Method::POST, deciding(id, what, Repeated::Stands))
        }
        _ => {
            let message = "there is nothing at this path";
            return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", message));
        }
    };
    match *method == wanted {
        true => Ok(endpoint),
        false => {
            let message = format!("{path} takes {wanted}");
            Err(Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
                .with(header::ALLOW, wanted.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_has_its_own_paths() {
        let found =
            |door, method: Method, path| find(door, &method, path).map_err(|reply| reply.status.as_u16());
        let confirm = |method, path| found(Door::Confirm, method, path);
        let admin = |method, path| found(Door::Admin, method, path);
        assert_eq!(confirm(Method::POST, "/confirm"), Ok(Endpoint::Submit));
        assert_eq!(confirm(Method::GET, "/confirm/x"), Ok(Endpoint::Read("x")));
        let decide = |approve, repeated| Ok(Endpoint::Decide { id: "x", approve, repeated });
        assert_eq!(confirm(Method::POST, "/confirm/x/approve"), decide(true, Repeated::Conflicts));
        assert_eq!(confirm(Method::POST, "/confirm/x/deny"), decide(false, Repeated::Conflicts));
        assert_eq!(admin(Method::POST, "/api/deny/x"), decide(false, Repeated::Stands));
        assert_eq!(admin(Method::GET, "/api/pending/x"), Ok(Endpoint::One("x")));
        for path in
            ["/", "", "/confirm/", "/confirm//approve", "/confirm/x/revoke", "/api/pending", "/Confirm"]
        {
            assert_eq!(confirm(Method::GET, path), Err(404), "{path}");
        }
        for path in ["/confirm", "/respond", "/pending", "/audit", "/api", "/api/approve", "/api/approve/"] {
            assert_eq!(admin(Method::POST, path), Err(404), "{path}");
        }
        for (method, path) in [
            (Method::GET, "/confirm"),
            (Method::GET, "/confirm/x/approve"),
            (Method::PUT, "/respond"),
            (Method::HEAD, "/health"),
            (Method::OPTIONS, "/confirm"),
        ] {
            assert_eq!(confirm(method, path), Err(405), "{path}");
        }
    }
}
