//! Answers nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`.

use std::rc::Rc;

use crate::{
    config::model::HeaderFamily,
    doors::{AskError, Unclear, check_removable, forward_auth},
    gate::Denial,
    http1::framing::BodyLength,
    message::RequestHead,
    net::client_addr::client_address,
    telemetry::{
        outcome::{Door, OutcomeGuard},
        trace_context::TraceId,
    },
};

use super::{
    super::{
        alarm::Alarm,
        answer::{Answer, Form},
        client::Client,
        gateway::{Gateway, head_denial, trusted_request_id},
    },
    Context, End, Finding, Permitted, Refusal, Reply,
};

impl Gateway {
    /// Answers a proxy that describes a request in headers of `family`. Infallible, as [`Gateway::handle`]; emits one
    /// outcome. Returns whether the proxy's connection may carry another ask.
    pub(in crate::proxy) async fn answer_forward_auth<C: Client>(
        self: &Rc<Self>,
        client: &mut C,
        family: HeaderFamily,
        alarm: &mut Alarm,
    ) -> bool {
        let mut outcome = self.telemetry.begin(client.started());
        outcome.asked_at(Door::ForwardAuth);
        let reply = self.reply_to_forward_auth(client, family, &mut outcome);
        client.accept_head(BodyLength::Empty);
        reply.send(client, outcome, alarm).await
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
                return Reply { closes: true, ..context.refuse(&head_denial(fault)).for_family(family) };
            }
        };
        // The length of an answer depends on the ask, not on the request that it is about.
        context.form = Form { is_grpc: false, is_head: ask.method == "HEAD" };
        if let Some(id) = trusted_request_id(&ask, peer) {
            context.request_id = id;
        }
        outcome.identified(context.request_id, TraceId::default());
        outcome.request(ask.method, ask.target, peer.address);
        if !peer.is_trusted() {
            return context.refuse_stranger().for_family(family);
        }
        let head = match forward_auth::describe(&ask, family, &peer.listener.limits.head) {
            Ok(head) => head,
            Err(error) => {
                let closes = error == AskError::Unclear(Unclear::Body);
                return Reply { closes, ..context.refuse_ask(error).for_family(family) };
            }
        };
        let forwarded_for = ask.fields.all("x-forwarded-for");
        let address = client_address(peer.address, forwarded_for, &peer.listener.trusted_proxies);
        outcome.request(head.method, head.target, *address.as_ref().unwrap_or(&peer.address));
        let Ok(address) = address else {
            return context.refuse(&Denial::malformed_client_address()).for_family(family);
        };
        let config = &published.config;
        let finding = match check_removable(&head.fields, &config.policy, &config.identity) {
            Ok(()) => self.find(&context, &head, address, outcome),
            Err(denial) => Finding::Refused(context.refuse(&denial)),
        };
        match family {
            HeaderFamily::XOriginal => context.tell_nginx(finding),
            HeaderFamily::XForwarded => context.tell_traefik_or_caddy(finding, &head),
        }
    }
}

impl Refusal {
    fn for_family(self, family: HeaderFamily) -> Reply {
        let Self { answer, reason } = self;
        let answer = match family {
            HeaderFamily::XOriginal => answer.for_auth_request(reason.code()),
            HeaderFamily::XForwarded => answer,
        };
        Self { answer, reason }.into()
    }
}

impl Context<'_> {
    fn tell_nginx(&self, finding: Finding) -> Reply {
        match finding {
            Finding::Permitted(permitted) => self.permit(permitted),
            Finding::Preflight(answer) => Reply::new(answer.for_auth_request("preflight"), End::Answered),
            Finding::ServerOptions => {
                let answer = Answer::server_options(&self.request_id);
                Reply::new(answer.for_auth_request("server_options"), End::Answered)
            }
            Finding::Refused(refusal) => refusal.for_family(HeaderFamily::XOriginal),
        }
    }

    /// These forward whatever they are answered 2xx for, with the upgrade that their client asked for.
    fn tell_traefik_or_caddy(&self, finding: Finding, head: &RequestHead<'_>) -> Reply {
        match self.without_upgrade(finding, head) {
            Finding::Permitted(permitted) => self.permit(permitted),
            Finding::Preflight(_) => self.permit(self.anonymous()),
            Finding::ServerOptions => {
                let denial = Denial::bad_request("OPTIONS * is for the gateway alone.");
                self.refuse(&denial).for_family(HeaderFamily::XForwarded)
            }
            Finding::Refused(refusal) => refusal.for_family(HeaderFamily::XForwarded),
        }
    }

    fn permit(&self, permitted: Permitted) -> Reply {
        let Permitted { identity, credentials, upgrade, cors } = permitted;
        let told = [("X-Keygate-Upgrade".to_owned(), upgrade.to_owned())];
        let fields = identity.into_iter().chain(credentials).chain(told);
        Reply::new(Answer::permit(fields, cors, &self.request_id, self.form), End::Permitted)
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
