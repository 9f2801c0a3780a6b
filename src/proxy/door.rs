//! A door: another proxy asks about a request that it forwards itself, and is told what the gateway would do with it.
//! Every error on the way is a refusal.

use std::{net::IpAddr, rc::Rc};

use crate::{
    config::model::{Config, HeaderFamily, ListenerLimits},
    doors::{AskError, Unclear, check_removable, forward_auth},
    gate::{Denial, Judgement, Request, Verdict, identity::identity_to_set},
    http1::framing::BodyLength,
    live::Published,
    message::RequestHead,
    net::client_addr::client_address,
    policy::{decide::Permit, reason::Reason},
    telemetry::{
        outcome::{Door, OutcomeGuard},
        throttle::Throttle,
        trace_context::{RequestId, TraceId},
    },
};

use super::{
    alarm::Alarm,
    answer::{Answer, Form},
    client::{Client, Peer},
    ending::deliver,
    gateway::{Gateway, head_denial, key_use, trusted_request_id},
    headers::CorsFields,
};

/// What a proxy that asked is told, and how that counts.
struct Reply {
    answer: Answer,
    end: End,
    /// Whether nothing after the ask can be trusted.
    closes: bool,
}

/// How an ask ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Permitted,
    Answered,
    Refused(Reason),
}

/// A permitted request, as the asking proxy has to forward it.
struct Permitted {
    /// Every identity header in use with its value; empty: there is none, and the client's must not go on.
    identity: Vec<(String, String)>,
    /// Every header that may carry a credential, with what of it goes on.
    credentials: Vec<(String, String)>,
    /// The protocol that the connection may be upgraded to, if the request asks for it.
    upgrade: &'static str,
    cors: Option<CorsFields>,
}

/// What becomes of a described request.
enum Finding {
    Permitted(Permitted),
    /// A CORS preflight, which the gateway answers itself.
    Preflight(Answer),
    /// `OPTIONS *`, likewise.
    ServerOptions,
    Refused(Refusal),
}

/// What the client is to be told instead.
struct Refusal {
    answer: Answer,
    reason: Reason,
}

/// What every answer at a door depends on.
struct Context<'a> {
    published: &'a Published,
    peer: &'a Peer,
    request_id: RequestId,
    form: Form,
}

impl Gateway {
    /// Answers a proxy that describes a request in headers of `family`. Infallible, as [`Gateway::handle`]; emits one
    /// outcome. Returns whether the proxy's connection may carry another request.
    pub(super) async fn answer_forward_auth<C: Client>(
        self: &Rc<Self>,
        client: &mut C,
        family: HeaderFamily,
        alarm: &mut Alarm,
    ) -> bool {
        let mut outcome = self.telemetry.begin(client.started());
        outcome.asked_at(Door::ForwardAuth);
        let reply = self.reply_to_forward_auth(client, family, &mut outcome);
        client.accept_head(BodyLength::Empty);
        let close = reply.closes || client.leaves_body();
        let sent = deliver(client, &reply.answer, close, alarm).await;
        let status = if sent { reply.answer.status } else { 0 };
        match reply.end {
            End::Permitted => outcome.permitted_to_go_on(status),
            End::Answered => outcome.answered(status),
            End::Refused(reason) => outcome.refused(reason, status),
        }
        sent && !close
    }

    fn reply_to_forward_auth<C: Client>(
        &self,
        client: &C,
        family: HeaderFamily,
        outcome: &mut OutcomeGuard,
    ) -> Reply {
        let mut live = self.live.borrow_mut();
        let published = live.load();
        let peer = client.peer();
        let mut context = Context {
            published,
            peer,
            request_id: self.telemetry.request_id(client.started()),
            form: Form::default(),
        };
        outcome.decided(published.revision, None);
        let ask = match client.head() {
            Ok(ask) => ask,
            Err(fault) => {
                outcome.identified(context.request_id, TraceId::default());
                let denial = head_denial(fault);
                return Reply { closes: true, ..context.refuse(&denial).into_reply(family) };
            }
        };
        // The length of an answer depends on the ask; its form never on the client, who might read 200 as permitted.
        context.form = Form { is_grpc: false, is_head: ask.method == "HEAD" };
        outcome.request(ask.method, ask.target, peer.address);
        if !peer.is_trusted() {
            outcome.identified(context.request_id, TraceId::default());
            return context.refuse_stranger().into_reply(family);
        }
        if let Some(id) = trusted_request_id(&ask, peer) {
            context.request_id = id;
        }
        outcome.identified(context.request_id, TraceId::default());
        let head = match forward_auth::describe(&ask, family, &peer.listener.limits.head) {
            Ok(head) => head,
            Err(AskError::Head(error)) => {
                return context.refuse(&Denial::malformed_head(error)).into_reply(family);
            }
            Err(AskError::Unclear(unclear)) => {
                let closes = unclear == Unclear::Body;
                return Reply { closes, ..context.refuse_unclear(unclear).into_reply(family) };
            }
        };
        let address =
            client_address(peer.address, ask.fields.all("x-forwarded-for"), &peer.listener.trusted_proxies);
        outcome.request(head.method, head.target, *address.as_ref().unwrap_or(&peer.address));
        let Ok(address) = address else {
            let detail = "The address of the client in X-Forwarded-For is malformed.";
            return context.refuse(&Denial::bad_request(detail)).into_reply(family);
        };
        let removable = check_removable(&head.fields, &published.config.policy, &published.config.identity);
        let finding = match removable {
            Ok(()) => self.find(&context, &head, address, outcome),
            Err(denial) => Finding::Refused(context.refuse(&denial)),
        };
        context.reply(finding, &head, family)
    }

    /// Judges a request that a proxy described, sent by the client at `address`.
    fn find(
        &self,
        context: &Context<'_>,
        head: &RequestHead<'_>,
        address: IpAddr,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        let Published { revision, config, .. } = context.published;
        let origin = head.fields.only("origin").ok().flatten();
        let request = match Request::read(head, &config.policy) {
            Ok(request) => request,
            Err(denial) => return Finding::Refused(context.refuse(&denial)),
        };
        let judgement = self.judge(context.published, &request, address);
        outcome.decided(*revision, judgement.key.map(key_use));
        let Judgement { verdict, route, strip_credential, .. } = judgement;
        let cors_of = |forwarding: usize| {
            config.forwardings[forwarding].cors.as_ref().map(|cors| CorsFields::of_answer(cors, origin))
        };
        match verdict {
            Err(denial) => {
                outcome.routed(route.map_or("", |route| &route.pattern), None);
                let cors = match route.filter(|_| denial.reason != Reason::NotFound) {
                    Some(route) => cors_of(route.forwarding),
                    None => config.cors.as_ref().map(|cors| CorsFields::of_answer(cors, origin)),
                };
                Finding::Refused(context.refuse_with(&denial, cors))
            }
            Ok(Verdict::ServerOptions) => Finding::ServerOptions,
            Ok(Verdict::Preflight(route)) => {
                outcome.routed(&route.pattern, None);
                let method = request.preflight_method.unwrap_or_default();
                match &config.forwardings[route.forwarding].cors {
                    Some(cors) => {
                        Finding::Preflight(Answer::preflight(cors, &head.fields, method, &context.request_id))
                    }
                    None => Finding::Refused(context.refuse(&internal())),
                }
            }
            Ok(Verdict::Forward(permit)) => {
                outcome.routed(&permit.route().pattern, permit.project());
                let cors = cors_of(permit.route().forwarding);
                match permitted(config, &context.peer.listener.limits, &permit, &request, strip_credential) {
                    Ok(permitted) => {
                        outcome.permitted(permit.needs().scopes);
                        Finding::Permitted(Permitted { cors, ..permitted })
                    }
                    Err(denial) => Finding::Refused(context.refuse_with(&denial, cors)),
                }
            }
        }
    }
}

/// What the asking proxy has to do with a permitted request.
///
/// # Errors
/// Where the identity does not fit, or the body is too large.
fn permitted(
    config: &Config,
    limits: &ListenerLimits,
    permit: &Permit<'_, '_>,
    request: &Request<'_>,
    strip_credential: bool,
) -> Result<Permitted, Denial<'static>> {
    let forwarding = &config.forwardings[permit.route().forwarding];
    let body_bytes_max = forwarding.body_bytes.unwrap_or(limits.body_bytes);
    if let BodyLength::Known(length) = request.body
        && length > body_bytes_max
    {
        let detail = "The body of the request is larger than permitted.";
        return Err(Denial::outside_table(Reason::ContentTooLarge, detail));
    }
    let scopes = &config.policy.scopes;
    let identity = identity_to_set(&config.identity, scopes, permit.principal(), permit.project())?;
    let passes = |name: &str| {
        let value = request.fields().only(name).ok().flatten().filter(|_| !strip_credential);
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let upgrades = forwarding.websocket && request.method() == "GET" && asks_for(request, b"websocket");
    Ok(Permitted {
        identity: identity.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        credentials: config.policy.credentials.names().map(|name| (name.to_owned(), passes(name))).collect(),
        upgrade: if upgrades { "websocket" } else { "" },
        cors: None,
    })
}

/// Whether `Upgrade` names this protocol and no other.
fn asks_for(request: &Request<'_>, protocol: &[u8]) -> bool {
    matches!(request.fields().only("upgrade"), Ok(Some(value)) if value.eq_ignore_ascii_case(protocol))
}

fn internal() -> Denial<'static> {
    Denial::outside_table(Reason::Internal, "The request cannot be answered.")
}

impl Refusal {
    fn into_reply(self, family: HeaderFamily) -> Reply {
        let Self { answer, reason } = self;
        let answer = match family {
            HeaderFamily::XOriginal => answer.for_auth_request(reason.code()),
            HeaderFamily::XForwarded => answer,
        };
        Reply { answer, end: End::Refused(reason), closes: false }
    }
}

impl Context<'_> {
    fn refuse(&self, denial: &Denial<'_>) -> Refusal {
        self.refuse_with(denial, None)
    }

    fn refuse_with(&self, denial: &Denial<'_>, cors: Option<CorsFields>) -> Refusal {
        let answer = Answer::refusal(denial, &self.published.config, cors, &self.request_id, self.form);
        Refusal { answer, reason: denial.reason }
    }

    fn refuse_stranger(&self) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, "a door was asked by a peer that is not in its trusted_proxies");
        });
        self.refuse(&Denial::outside_table(Reason::DoorRefused, "This door is not for you."))
    }

    fn refuse_unclear(&self, unclear: Unclear) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, problem = %unclear, "a door was asked without exactly one request");
        });
        self.refuse(&Denial::outside_table(
            Reason::DoorRefused,
            "The proxy in front of the gateway has not described the request.",
        ))
    }

    /// What a proxy is told that speaks of requests in headers of `family`.
    fn reply(&self, finding: Finding, head: &RequestHead<'_>, family: HeaderFamily) -> Reply {
        let finding = match (finding, family) {
            // It forwards whatever it is answered 2xx for, with the upgrade that its client asked for.
            (Finding::Permitted(permitted), HeaderFamily::XForwarded)
                if permitted.upgrade.is_empty() && head.fields.all("upgrade").next().is_some() =>
            {
                let detail = "The route takes no upgrade to another protocol.";
                Finding::Refused(self.refuse(&Denial::bad_request(detail)))
            }
            (Finding::Preflight(_), HeaderFamily::XForwarded) => Finding::Permitted(self.anonymous()),
            (Finding::ServerOptions, HeaderFamily::XForwarded) => {
                let detail = "OPTIONS * is for the gateway alone.";
                Finding::Refused(self.refuse(&Denial::bad_request(detail)))
            }
            (finding, HeaderFamily::XOriginal | HeaderFamily::XForwarded) => finding,
        };
        match finding {
            Finding::Permitted(Permitted { identity, credentials, upgrade, cors }) => {
                let told = [("X-Keygate-Upgrade".to_owned(), upgrade.to_owned())];
                let fields = identity.into_iter().chain(credentials).chain(told);
                let answer = Answer::permit(fields, cors, &self.request_id, self.form);
                Reply { answer, end: End::Permitted, closes: false }
            }
            Finding::Preflight(answer) => {
                Reply { answer: answer.for_auth_request("preflight"), end: End::Answered, closes: false }
            }
            Finding::ServerOptions => {
                let answer = Answer::server_options(&self.request_id).for_auth_request("server_options");
                Reply { answer, end: End::Answered, closes: false }
            }
            Finding::Refused(refusal) => refusal.into_reply(family),
        }
    }

    /// A request that goes on without identity and without credential.
    fn anonymous(&self) -> Permitted {
        let config = &self.published.config;
        let empty = |name: &str| (name.to_owned(), String::new());
        Permitted {
            identity: config.identity.names().map(empty).collect(),
            credentials: config.policy.credentials.names().map(empty).collect(),
            upgrade: "",
            cors: None,
        }
    }
}
