//! Answers the external authorization of Envoy and Istio, over gRPC or HTTP.

use std::{future::poll_fn, rc::Rc, task::Poll};

use tokio::time::Instant;

use crate::{
    doors::{
        Unclear,
        ext_authz::{
            CHECK, Check, CheckResponse, DeniedHttpResponse, HEADERS_TO_REMOVE, HeaderValueOption,
            HttpResponse, HttpStatus, MESSAGE_BYTES_MAX, OkHttpResponse, Status, check_joined, describe_http,
            encode,
        },
        may_have_body,
    },
    http1::framing::BodyLength,
    message::{Field, Fields, RequestHead, Version},
    telemetry::{
        outcome::{Door, OutcomeGuard},
        trace_context::RequestId,
    },
};

use super::{
    super::{
        alarm::Alarm,
        answer::{Answer, Form},
        client::{BodyStep, Client, Coding, ResponseLength},
        ending::flush,
        gateway::Gateway,
        headers::{CorsFields, is_unwanted},
    },
    Context, End, Finding, Permitted, Refusal, Reply,
};

/// gRPC status codes.
const GRPC_OK: i32 = 0;
const GRPC_PERMISSION_DENIED: i32 = 7;

/// What Envoy is told to do with a permitted request.
struct Changes {
    /// Headers to set, whatever was there.
    set: Vec<(String, String)>,
    /// Headers to take away.
    remove: Vec<String>,
    /// Headers of the answer to the client.
    answer: Vec<(String, String)>,
}

impl Gateway {
    /// Answers a check request of Envoy over HTTP. Infallible, as [`Gateway::handle`]; emits one outcome. Returns whether
    /// the connection may carry another ask.
    pub(in crate::proxy) async fn answer_http_check<C: Client>(
        self: &Rc<Self>,
        client: &mut C,
        alarm: &mut Alarm,
    ) -> bool {
        let mut outcome = self.telemetry.begin(client.started());
        outcome.asked_at(Door::ExtAuthz);
        let reply = self.reply_to_http_check(client, &mut outcome);
        client.accept_head(BodyLength::Empty);
        reply.send(client, outcome, alarm).await
    }

    fn reply_to_http_check<C: Client>(&self, client: &C, outcome: &mut OutcomeGuard) -> Reply {
        let mut live = self.live.borrow_mut();
        let form_of = |ask: &RequestHead<'_>| Form::of(ask.method, &ask.fields);
        let (context, ask) = match self.hear(client, live.load(), form_of, outcome) {
            Ok(heard) => heard,
            Err(refusal) => return refusal.into(),
        };
        let head = match describe_http(&ask) {
            Ok(head) => head,
            Err(error) => return context.refuse_ask(error, outcome).into(),
        };
        // Without it the client's address would be that of Envoy.
        if head.fields.all("x-forwarded-for").all(<[u8]>::is_empty) {
            return context.refuse_unclear(Unclear::Missing("X-Forwarded-For"), outcome).into();
        }
        let finding = self.find(&context, &head, context.peer.address, check_joined, outcome);
        // What of the client's body came along is not read: it must not be taken for another question.
        let closes = may_have_body(&ask);
        Reply { closes, ..context.tell_over_http(finding, &head) }
    }

    /// Answers a gRPC call of Envoy, as [`Gateway::answer_http_check`].
    pub(in crate::proxy) async fn answer_grpc_check<C: Client>(
        self: &Rc<Self>,
        client: &mut C,
        alarm: &mut Alarm,
    ) -> bool {
        let mut outcome = self.telemetry.begin(client.started());
        outcome.asked_at(Door::ExtAuthz);
        let request_id = match self.accept_call(client, &mut outcome) {
            Ok(request_id) => request_id,
            Err(refusal) => {
                client.accept_head(BodyLength::Empty);
                return Reply::from(refusal.closing()).send(client, outcome, alarm).await;
            }
        };
        client.accept_head(BodyLength::Chunked);
        let message = read_message(client, alarm).await;
        let (response, end, status) = self.reply_to_check(client, message, request_id, &mut outcome);
        let message = encode(&response);
        client.begin(200, b"OK");
        client.field(b"content-type", b"application/grpc");
        client.finish_head(ResponseLength::Streamed, false);
        client.data(&message);
        client.end(&Fields::from_iter([Field { name: b"grpc-status", value: b"0" }]));
        let sent = flush(client, alarm).await;
        end.count(outcome, if sent { status } else { 0 });
        sent
    }

    /// The id of the question, if its head is that of the one call, from a peer that may ask.
    fn accept_call<C: Client>(&self, client: &C, outcome: &mut OutcomeGuard) -> Result<RequestId, Refusal> {
        let mut live = self.live.borrow_mut();
        let form_of = |ask: &RequestHead<'_>| Form::of_question(ask.method);
        let (context, ask) = self.hear(client, live.load(), form_of, outcome)?;
        let is_call = ask.method == "POST"
            && ask.target == CHECK.as_bytes()
            && ask.version == Version::Http2
            && Form::of(ask.method, &ask.fields).is_grpc;
        if is_call {
            Ok(context.request_id)
        } else {
            Err(context.refuse_unclear(Unclear::Missing("the call of Check"), outcome))
        }
    }

    /// The answer to `message`, how that counts, and the status that the client is sent.
    fn reply_to_check<C: Client>(
        &self,
        client: &C,
        message: Result<Vec<u8>, Unclear>,
        request_id: RequestId,
        outcome: &mut OutcomeGuard,
    ) -> (CheckResponse, End, u16) {
        let mut live = self.live.borrow_mut();
        let published = live.load();
        let peer = client.peer();
        let mut context = Context { published, peer, request_id, form: Form::default() };
        outcome.decided(published.revision, None);
        let check = message.and_then(|message| Check::decode(&message));
        let (source, check) = match check.and_then(|check| Ok((check.source()?, check))) {
            Ok(told) => told,
            Err(unclear) => return denied(&context.refuse_unclear(unclear, outcome)),
        };
        let head = match check.describe(&peer.listener.limits.head) {
            Ok(head) => head,
            Err(error) => return denied(&context.refuse_ask(error, outcome)),
        };
        // The answer goes into a message, whatever the client's method is.
        context.form = Form { is_head: false, ..Form::of(head.method, &head.fields) };
        context.identify(&head, outcome);
        let finding = self.find(&context, &head, source, check_joined, outcome);
        match context.without_upgrade(finding, &head) {
            Finding::Permitted(permitted) => {
                let Changes { set, remove, answer } = context.changes(permitted, &head);
                let overwrite = |lines: Vec<(String, String)>| {
                    lines.iter().map(|(name, value)| HeaderValueOption::overwrite(name, value)).collect()
                };
                let ok = OkHttpResponse {
                    headers: overwrite(set),
                    headers_to_remove: remove,
                    response_headers_to_add: overwrite(answer),
                };
                (response(GRPC_OK, HttpResponse::Ok(ok)), End::Permitted, 200)
            }
            Finding::Preflight(answer) => (deny(&answer), End::Answered, answer.status),
            Finding::ServerOptions => {
                let answer = Answer::server_options(&context.request_id);
                (deny(&answer), End::Answered, answer.status)
            }
            Finding::Refused(refusal) => denied(&refusal),
        }
    }
}

/// The whole body of a call, which holds one message.
async fn read_message<C: Client>(client: &mut C, alarm: &mut Alarm) -> Result<Vec<u8>, Unclear> {
    let mut message = Vec::new();
    alarm.set(Instant::now() + client.peer().listener.timeouts.idle);
    let malformed = Unclear::Malformed("CheckRequest");
    loop {
        let step = poll_fn(|cx| match client.poll_body(cx, &mut message, Coding::Plain) {
            Poll::Ready(step) => Poll::Ready(step.ok()),
            Poll::Pending => alarm.poll(cx).map(|()| None),
        })
        .await;
        match step {
            Some(BodyStep::End) => return Ok(message),
            Some(BodyStep::Data(_)) if message.len() <= MESSAGE_BYTES_MAX => {}
            Some(BodyStep::Data(_)) | None => return Err(malformed),
        }
    }
}

fn denied(refusal: &Refusal) -> (CheckResponse, End, u16) {
    (deny(&refusal.answer), End::Refused(refusal.reason), refusal.answer.status)
}

/// A denial that makes Envoy give this answer to its client.
fn deny(answer: &Answer) -> CheckResponse {
    let headers = answer.lines().map(|(name, value)| HeaderValueOption::overwrite(name, value)).collect();
    let status = Some(HttpStatus { code: i32::from(answer.status) });
    let denied = DeniedHttpResponse { status, headers, body: answer.text() };
    response(GRPC_PERMISSION_DENIED, HttpResponse::Denied(denied))
}

fn response(code: i32, http_response: HttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(Status { code, message: String::new() }),
        http_response: Some(http_response),
    }
}

impl Context<'_> {
    fn tell_over_http(&self, finding: Finding, head: &RequestHead<'_>) -> Reply {
        match self.without_upgrade(finding, head) {
            Finding::Permitted(permitted) => {
                let Changes { set, remove, answer: _ } =
                    self.changes(Permitted { cors: None, ..permitted }, head);
                let told = [(HEADERS_TO_REMOVE.to_owned(), remove.join(","))];
                let fields = set.into_iter().chain(told);
                Reply::new(Answer::permit(fields, None, &self.request_id, self.form), End::Permitted)
            }
            Finding::Preflight(answer) => Reply::new(answer, End::Answered),
            Finding::ServerOptions => Reply::new(Answer::server_options(&self.request_id), End::Answered),
            Finding::Refused(refusal) => refusal.into(),
        }
    }

    /// What makes of the client's request what the gateway itself would send.
    fn changes(&self, permitted: Permitted, head: &RequestHead<'_>) -> Changes {
        let Permitted { identity, credentials, upgrade: _, cors } = permitted;
        let (set, unset): (Vec<_>, Vec<_>) = identity.into_iter().partition(|(_, value)| !value.is_empty());
        let gone = credentials.into_iter().filter(|(_, value)| value.is_empty());
        let mut remove: Vec<String> = unset.into_iter().chain(gone).map(|(name, _)| name).collect();
        let is_set =
            |field: &Field<'_>| set.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(field.name));
        let unwanted =
            head.fields.iter().filter(|field| is_unwanted(field, &self.published.config) && !is_set(field));
        remove.extend(unwanted.map(|field| String::from_utf8_lossy(field.name).into_owned()));
        for name in &mut remove {
            name.make_ascii_lowercase();
        }
        remove.sort_unstable();
        remove.dedup();
        let request_id = ("X-Request-Id".to_owned(), self.request_id.as_str().to_owned());
        let cors =
            cors.iter().flat_map(CorsFields::lines).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = [request_id].into_iter().chain(cors).collect();
        Changes { set, remove, answer }
    }
}
