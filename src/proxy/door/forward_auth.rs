//! Answers nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`.

use std::rc::Rc;

use crate::{
    config::model::HeaderFamily,
    doors::{check_removable, forward_auth},
    gate::Denial,
    http1::framing::BodyLength,
    message::RequestHead,
    telemetry::outcome::{Door, OutcomeGuard},
};

use super::{
    super::{
        alarm::Alarm,
        answer::{Answer, Form},
        client::Client,
        gateway::Gateway,
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
        // The length of an answer depends on the ask, not on the request that it is about.
        let form_of = |ask: &RequestHead<'_>| Form::of_question(ask.method);
        let (context, ask) = match self.hear(client, live.load(), form_of, outcome) {
            Ok(heard) => heard,
            Err(refusal) => return refusal.for_family(family),
        };
        let head = match forward_auth::describe(&ask, family, &context.peer.listener.limits.head) {
            Ok(head) => head,
            Err(error) => return context.refuse_ask(error, outcome).for_family(family),
        };
        let finding = self.find(&context, &head, context.peer.address, check_removable, outcome);
        match family {
            HeaderFamily::XOriginal => context.tell_nginx(finding),
            HeaderFamily::XForwarded => context.tell_traefik_or_caddy(finding, &head),
        }
    }
}

impl Refusal {
    fn for_family(self, family: HeaderFamily) -> Reply {
        let answer = match family {
            HeaderFamily::XOriginal => self.answer.for_auth_request(self.reason.code()),
            HeaderFamily::XForwarded => self.answer,
        };
        Self { answer, ..self }.into()
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
            identity: config.identity_names().map(empty).collect(),
            credentials: config.policy.credentials.names().map(empty).collect(),
            upgrade: "",
            cors: None,
        }
    }
}
