//! One-time links: for the first owner, for people who are invited, and to sign in once.

use jiff::{SignedDuration, Timestamp};

use super::{
    Begun, NewPassword, Origin, Password, SignIn, SignInError,
    session::{after, no_randomness},
    throttle::Try,
    token::Token,
};
use crate::{
    control::{
        actor::Actor,
        administration::{AdminError, Administration},
        people_admin,
    },
    keys::record::{Person, PersonId},
    store::{
        accounts::{Accounts, Link, LinkPurpose},
        contract::StoreError,
    },
    telemetry::audit::SignInEvent,
};

/// How long the link for the first owner works.
pub const FIRST_OWNER_VALID: SignedDuration = SignedDuration::from_hours(1);
/// How long an invitation works.
pub const INVITATION_VALID: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a link works that signs somebody in.
pub const SIGN_IN_VALID: SignedDuration = SignedDuration::from_mins(15);

/// Makes a link, in the place of any other for the same. Its token is shown once.
///
/// # Errors
/// Where the store cannot be written.
pub async fn make_link(
    accounts: &dyn Accounts,
    purpose: LinkPurpose,
    made_by: &str,
    valid_for: SignedDuration,
    now: Timestamp,
) -> Result<Token, StoreError> {
    let token = Token::generate().map_err(no_randomness)?;
    let expires_at = after(now, valid_for);
    let link = Link { token: token.digest(), purpose, made_by: made_by.to_owned(), expires_at };
    accounts.put_link(&link).await?;
    Ok(token)
}

/// Makes a link by which the person `id` gives themselves a password. Whoever makes it could sign in as them, and so must
/// be one who may change them.
///
/// # Errors
/// Where there is no such person, they are disabled, whoever asks may not, passwords are not kept, or the store cannot be
/// written.
pub async fn invite(
    administration: &Administration,
    accounts: &dyn Accounts,
    id: &PersonId,
    now: Timestamp,
) -> Result<Token, AdminError> {
    people_admin::demand_invitable(administration, id).await?;
    if !accounts.keeps_passwords() {
        return Err(AdminError::refused(SignInError::NoPasswords.to_string()));
    }
    let purpose = LinkPurpose::Invitation(id.clone());
    let made_by = administration.actor.in_full();
    Ok(make_link(accounts, purpose, &made_by, INVITATION_VALID, now).await?)
}

impl SignIn {
    /// As [`invite`], told to the audit log.
    ///
    /// # Errors
    /// As there.
    pub async fn invite(&self, administration: &Administration, id: &PersonId) -> Result<Token, AdminError> {
        let token = invite(administration, &*self.parts.accounts, id, self.now()).await?;
        let by = administration.actor.in_full();
        self.tell(SignInEvent::LinkMade, Some(id), &by, administration.address).await;
        Ok(token)
    }

    /// As [`make_link`], told to the audit log.
    ///
    /// # Errors
    /// As there.
    pub async fn make_link(
        &self,
        purpose: LinkPurpose,
        made_by: &str,
        valid_for: SignedDuration,
    ) -> Result<Token, StoreError> {
        let person = match &purpose {
            LinkPurpose::FirstOwner => None,
            LinkPurpose::Invitation(person) | LinkPurpose::SignIn(person) => Some(person.clone()),
        };
        let token = make_link(&*self.parts.accounts, purpose, made_by, valid_for, self.now()).await?;
        self.tell(SignInEvent::LinkMade, person.as_ref(), made_by, None).await;
        Ok(token)
    }

    /// A link for the first owner, in the place of one that `place` made before; `None` where another gateway of the same
    /// database has shown one that still works.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn first_owner_link(&self, place: &str) -> Result<Option<Token>, StoreError> {
        let pending = self.parts.accounts.link_for(&LinkPurpose::FirstOwner, self.now()).await?;
        if pending.is_some_and(|link| link.made_by != place) {
            return Ok(None);
        }
        self.make_link(LinkPurpose::FirstOwner, place, FIRST_OWNER_VALID).await.map(Some)
    }

    /// What the link of `token` is for, so that a page can ask for what it takes. Changes nothing.
    ///
    /// # Errors
    /// [`SignInError::DeadLink`] where it is unknown, used or expired, or too many such were tried.
    pub async fn link(&self, token: &Token, from: &Origin) -> Result<LinkPurpose, SignInError> {
        let link = self.parts.accounts.link(token.digest(), self.now());
        Ok(self.found_link(link, from).await?.purpose)
    }

    /// Makes `person` the first owner, gives them this password and signs them in.
    ///
    /// # Errors
    /// [`SignInError::DeadLink`], [`SignInError::Password`], and [`SignInError::Admin`] where there is an owner or the
    /// records contradict others; then there is nobody new.
    pub async fn first_owner(
        &self,
        administration: Administration,
        token: &Token,
        person: &Person,
        password: Password,
        from: &Origin,
    ) -> Result<Begun, SignInError> {
        let link = self.found_link(self.parts.accounts.link(token.digest(), self.now()), from).await?;
        match link.purpose {
            LinkPurpose::FirstOwner => {}
            LinkPurpose::Invitation(_) | LinkPurpose::SignIn(_) => return Err(SignInError::DeadLink),
        }
        if !self.keeps_passwords() {
            return Err(SignInError::NoPasswords);
        }
        // Hashed before anything is written: where that is not possible now, the link stays good.
        let hash = self.hasher.hash(NewPassword::parse(password, person)?, self.now()).await?;
        let actor = Actor::FirstOwnerLink;
        let administration = Administration { actor, address: from.address, ..administration };
        let _committed = people_admin::create_first_owner(&administration, person).await?;
        self.parts.accounts.set_password(&person.id, &hash).await?;
        self.parts.accounts.take_link(token.digest(), self.now()).await?;
        self.link_used(&link, &person.id, from).await;
        self.begin(&person.id, None, "first-owner link", from).await
    }

    /// Gives whoever was invited this password and signs them in.
    ///
    /// # Errors
    /// [`SignInError::DeadLink`] and [`SignInError::Password`]; after the latter the link still works.
    pub async fn accept_invitation(
        &self,
        token: &Token,
        password: Password,
        from: &Origin,
    ) -> Result<Begun, SignInError> {
        let link = self.found_link(self.parts.accounts.link(token.digest(), self.now()), from).await?;
        let LinkPurpose::Invitation(id) = &link.purpose else { return Err(SignInError::DeadLink) };
        let person = self.able(id).await?;
        let hash = self.hasher.hash(NewPassword::parse(password, &person)?, self.now()).await?;
        // Of two at once, one gets it.
        self.use_up(token).await?;
        self.parts.accounts.set_password(id, &hash).await?;
        self.link_used(&link, id, from).await;
        self.begin(id, None, "invitation", from).await
    }

    /// Signs in whom the link is for.
    ///
    /// # Errors
    /// [`SignInError::DeadLink`].
    pub async fn with_link(&self, token: &Token, from: &Origin) -> Result<Begun, SignInError> {
        // Looked at first: one for something else is not used up here.
        let link = self.found_link(self.parts.accounts.link(token.digest(), self.now()), from).await?;
        let LinkPurpose::SignIn(id) = &link.purpose else { return Err(SignInError::DeadLink) };
        self.use_up(token).await?;
        self.able(id).await?;
        self.link_used(&link, id, from).await;
        self.begin(id, None, "sign-in link", from).await
    }

    async fn use_up(&self, token: &Token) -> Result<(), SignInError> {
        let link = self.parts.accounts.take_link(token.digest(), self.now()).await?;
        link.map(drop).ok_or(SignInError::DeadLink)
    }

    /// The person `id`, if they may sign in.
    async fn able(&self, id: &PersonId) -> Result<Person, SignInError> {
        let person = self.look().await?.person(id).await?.filter(|person| !person.disabled);
        person.ok_or(SignInError::DeadLink)
    }

    /// What was looked up; who guesses is slowed down.
    async fn found_link(
        &self,
        look_up: impl Future<Output = Result<Option<Link>, StoreError>>,
        from: &Origin,
    ) -> Result<Link, SignInError> {
        let attempt = Try::unnamed(from.address);
        self.throttle().begin(attempt, self.now())?;
        match look_up.await {
            Ok(Some(link)) => {
                self.throttle().succeeded(attempt, self.now());
                Ok(link)
            }
            Ok(None) => {
                self.tell_failure(None, "link", from).await;
                Err(SignInError::DeadLink)
            }
            Err(error) => {
                self.throttle().forgive(attempt);
                Err(error.into())
            }
        }
    }

    async fn link_used(&self, link: &Link, person: &PersonId, from: &Origin) {
        let by = format!("link made by {}", link.made_by);
        self.tell(SignInEvent::LinkUsed, Some(person), &by, from.address).await;
    }
}
