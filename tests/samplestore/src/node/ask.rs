//! Asking several members at once until enough have answered.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::member::{Member, MemberError};
use crate::errors::chain;

/// How long those asked first may keep silent before the others are asked too.
const WIDEN_AFTER: Duration = Duration::from_millis(50);

/// Fewer members than needed did what they were asked.
#[derive(Debug, thiserror::Error)]
#[error("{done} of {needed} nodes needed can serve ({refusals})")]
pub(crate) struct TooFew {
    done: usize,
    needed: usize,
    refusals: String,
}

impl TooFew {
    /// Nobody was left to ask.
    pub(super) fn none() -> Self {
        Self {
            done: 0,
            needed: 1,
            refusals: "the node that had the value no longer has it".to_owned(),
        }
    }
}

/// Whom to ask at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtOnce {
    /// All members: what is asked is meant for every one of them.
    Everyone,
    /// As many as are needed, from the front; the others only if one of those fails or keeps silent for a while.
    Enough,
}

/// Asks the members and returns as soon as `needed` have answered. The other calls go on by themselves, so that a
/// write reaches everyone and connections stay usable; each has its own timeout.
pub(super) async fn ask<T, F>(
    members: Vec<Member>,
    at_once: AtOnce,
    needed: usize,
    call: impl Fn(Member) -> F,
) -> Result<Vec<(Member, T)>, TooFew>
where
    T: Send + 'static,
    F: Future<Output = Result<T, MemberError>> + Send + 'static,
{
    let at_first = match at_once {
        AtOnce::Everyone => members.len(),
        AtOnce::Enough => needed,
    };
    let mut calls = JoinSet::new();
    let begin = |calls: &mut JoinSet<_>, members: &mut dyn Iterator<Item = Member>| {
        for member in members {
            let answer = call(member.clone());
            calls.spawn(async move { (member, answer.await) });
        }
    };
    let mut unasked = members.into_iter();
    begin(&mut calls, &mut unasked.by_ref().take(at_first));
    let mut answers = Vec::with_capacity(needed);
    let mut refusals = Vec::new();
    while answers.len() < needed {
        match next_ended(&mut calls, unasked.len() > 0).await {
            Next::Ended(Ok((member, Ok(answer)))) => {
                answers.push((member, answer));
                continue;
            }
            Next::Ended(Ok((member, Err(error)))) => {
                refusals.push(format!("{member}: {}", chain(&error)))
            }
            Next::Ended(Err(error)) => refusals.push(chain(&error)),
            Next::None if unasked.len() == 0 => {
                return Err(TooFew {
                    done: answers.len(),
                    needed,
                    refusals: refusals.join("; "),
                });
            }
            Next::None | Next::Silence => {}
        }
        begin(&mut calls, &mut unasked);
    }
    calls.detach_all();
    Ok(answers)
}

/// What happened next among the calls under way.
enum Next<T> {
    Ended(Result<T, JoinError>),
    /// None is under way.
    None,
    /// Nothing, for long enough to ask others.
    Silence,
}

async fn next_ended<T: 'static>(calls: &mut JoinSet<T>, impatient: bool) -> Next<T> {
    let ended = if impatient {
        match tokio::time::timeout(WIDEN_AFTER, calls.join_next()).await {
            Ok(ended) => ended,
            Err(_) => return Next::Silence,
        }
    } else {
        calls.join_next().await
    };
    ended.map_or(Next::None, Next::Ended)
}
