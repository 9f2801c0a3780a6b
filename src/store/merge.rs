//! Several key files as one: each file is taken or not as a whole, and where files contradict one another, those that
//! changed give way. Pure.

use std::{path::Path, sync::Arc};

use super::file::{FileProblem, KeyFile, MarkedRevocation};
use crate::{
    keys::{
        build::KeyPolicy,
        problem::{BuildProblem, Fault, RecordField, Subject},
        record::{KeyRecord, Organization, Person},
        snapshot::KeySnapshot,
    },
    yaml::Place,
};

/// The most problems of one file that are kept.
const PROBLEMS_MAX: usize = 1000;

/// What of a file could be in force: its newest content first, what to fall back to after. `None` is nothing.
pub(super) type Choices = Vec<Option<Arc<KeyFile>>>;

/// What was chosen.
#[derive(Debug)]
pub(super) struct Merged {
    /// `None` if there is no file at all.
    pub(super) snapshot: Option<KeySnapshot>,
    /// Of each file, in the order given, what is in force.
    pub(super) chosen: Vec<Option<Arc<KeyFile>>>,
    /// Of each file, why its newest content is not; empty if it is.
    pub(super) problems: Vec<Vec<FileProblem>>,
}

/// The newest contents that are right together under `policy`. Cost: that of one build, and another for each time
/// that files have to give way.
///
/// # Errors
/// All problems, if not even the oldest choices are right under `policy`: then it is the policy that is wrong.
pub(super) fn merge(files: &[Choices], policy: &KeyPolicy<'_>) -> Result<Merged, Vec<FileProblem>> {
    let mut at = vec![0; files.len()];
    let mut problems = vec![Vec::new(); files.len()];
    loop {
        let chosen: Vec<_> = files.iter().zip(&at).map(|(file, at)| file[*at].clone()).collect();
        let found = match build(&chosen, policy) {
            Ok(snapshot) => return Ok(Merged { snapshot, chosen, problems }),
            Err(found) => found,
        };
        let can_give_way = |file: usize| at[file] + 1 < files[file].len();
        let mut yielding: Vec<usize> =
            (0..files.len()).filter(|&file| can_give_way(file) && names(&found, file)).collect();
        let own = !yielding.is_empty();
        if !own {
            // Only files that stayed as they were are named: they are contradicted by those that changed.
            yielding = (0..files.len()).filter(|&file| can_give_way(file)).collect();
        }
        if yielding.is_empty() {
            return Err(capped(found.into_iter().map(|(_, problem)| problem).collect()));
        }
        for file in yielding {
            at[file] += 1;
            if problems[file].is_empty() {
                let of_file = |(named, _): &&(Option<usize>, FileProblem)| !own || *named == Some(file);
                let told = found.iter().filter(of_file).map(|(_, problem)| problem.clone()).collect();
                problems[file] = capped(told);
            }
        }
    }
}

fn names(found: &[(Option<usize>, FileProblem)], file: usize) -> bool {
    found.iter().any(|(named, _)| *named == Some(file))
}

fn capped(mut problems: Vec<FileProblem>) -> Vec<FileProblem> {
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if let (1.., Some(last)) = (more, problems.last()) {
        let path = Arc::clone(&last.path);
        let message = format!("{more} more problems are not shown");
        problems.push(FileProblem::of_file(&path, message, "mend those above first"));
    }
    problems
}

/// The snapshot of all files, or each problem with the file it belongs to.
fn build(
    chosen: &[Option<Arc<KeyFile>>],
    policy: &KeyPolicy<'_>,
) -> Result<Option<KeySnapshot>, Vec<(Option<usize>, FileProblem)>> {
    let files: Vec<(usize, &KeyFile)> =
        chosen.iter().enumerate().filter_map(|(at, file)| Some((at, file.as_deref()?))).collect();
    let Some((_, any)) = files.first() else { return Ok(None) };
    let keys: Vec<&KeyRecord> = files.iter().flat_map(|(_, file)| &file.keys).collect();
    let people: Vec<&Person> = files.iter().flat_map(|(_, file)| &file.people).collect();
    let organizations: Vec<&Organization> = files.iter().flat_map(|(_, file)| &file.organizations).collect();
    let tell = |problem: BuildProblem| match locate(&files, &problem) {
        Some((at, file, local)) => (Some(at), placed(&files, file, &problem, &local)),
        None => (None, FileProblem::of_file(&any.path, problem.to_string(), "use fewer")),
    };
    KeySnapshot::build(&keys, &people, &organizations, policy)
        .map(Some)
        .map_err(|problems| problems.into_iter().map(tell).collect())
}

/// The file that the subject of `problem` stands in, and the problem with the subject counted within that file.
fn locate<'f>(
    files: &[(usize, &'f KeyFile)],
    problem: &BuildProblem,
) -> Option<(usize, &'f KeyFile, BuildProblem)> {
    let position = position(&problem.subject)?;
    let (at, file, local) = file_of(files, &problem.subject, position)?;
    let subject = match &problem.subject {
        Subject::Key(_, id) => Subject::Key(local, *id),
        Subject::Person(_, id) => Subject::Person(local, id.clone()),
        Subject::Organization(_, id) => Subject::Organization(local, id.clone()),
        Subject::AllKeys => return None,
    };
    Some((at, file, BuildProblem { subject, ..problem.clone() }))
}

fn position(subject: &Subject) -> Option<usize> {
    match subject {
        Subject::Key(at, _) | Subject::Person(at, _) | Subject::Organization(at, _) => Some(*at),
        Subject::AllKeys => None,
    }
}

/// The file that holds the record at `position` among all records of the kind of `subject`.
fn file_of<'f>(
    files: &[(usize, &'f KeyFile)],
    subject: &Subject,
    mut position: usize,
) -> Option<(usize, &'f KeyFile, usize)> {
    for (at, file) in files {
        let records = match subject {
            Subject::Key(..) => file.keys.len(),
            Subject::Person(..) => file.people.len(),
            Subject::Organization(..) => file.organizations.len(),
            Subject::AllKeys => return None,
        };
        if position < records {
            return Some((*at, file, position));
        }
        position -= records;
    }
    None
}

fn placed(
    files: &[(usize, &KeyFile)],
    file: &KeyFile,
    problem: &BuildProblem,
    local: &BuildProblem,
) -> FileProblem {
    let text = problem.to_string();
    let general = format!("correct its {}", named(problem.field));
    let (message, remedy) = text.split_once("; ").unwrap_or((&text, &general));
    let message = match first_place(files, problem) {
        Some((path, first)) if path == &*file.path => format!("{message} (first at {first})"),
        Some((path, first)) => format!("{message} (first at {}:{first})", path.display()),
        None => message.to_owned(),
    };
    FileProblem {
        path: Arc::clone(&file.path),
        place: file.place_of(local),
        message,
        remedy: remedy.to_owned(),
    }
}

/// The name of a field in a key file.
fn named(field: RecordField) -> &'static str {
    match field {
        RecordField::Id => "`id`",
        RecordField::Digest => "`hash`",
        RecordField::PreviousDigest => "`previous_hash`",
        RecordField::Scopes => "`scopes`",
        RecordField::Projects => "`projects`",
        RecordField::Owner => "`owner`",
        RecordField::Organization => "`organization`",
        RecordField::NotBefore => "`not_before`",
        RecordField::Addresses => "`addresses`",
        RecordField::Plan => "`plan`",
    }
}

/// Where the other record of a duplicate stands.
fn first_place<'f>(files: &[(usize, &'f KeyFile)], problem: &BuildProblem) -> Option<(&'f Path, Place)> {
    let (Fault::DuplicateId { first } | Fault::DuplicateDigest { first, .. }) = &problem.fault else {
        return None;
    };
    let (_, file, at) = file_of(files, &problem.subject, *first)?;
    let place = if let Fault::DuplicateDigest { .. } = problem.fault {
        let (_, later, later_at) = file_of(files, &problem.subject, position(&problem.subject)?)?;
        file.digest_place(at, later.digest_of(later_at, problem.field)?)?
    } else {
        file.id_place(&problem.subject, at)?
    };
    Some((&file.path, place))
}

/// What a file that is not taken marks as revoked.
pub(super) fn revocations_of(file: &KeyFile) -> Vec<MarkedRevocation> {
    let mark = |key: &KeyRecord| {
        let at = key.revoked.as_ref()?.at;
        let digests = [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)];
        let key_id = Some(key.id);
        Some(digests.into_iter().flatten().map(move |digest| MarkedRevocation { digest, at, key_id }))
    };
    file.keys.iter().filter_map(mark).flatten().collect()
}
