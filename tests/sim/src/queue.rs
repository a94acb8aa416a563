//! What is going to happen, by when, and in the order in which it was decided.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Virtual milliseconds since a life began.
pub(crate) type Ms = u64;

#[derive(Debug)]
struct Due<E> {
    at: Ms,
    number: u64,
    event: E,
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Events that are due.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    due: BinaryHeap<Reverse<Due<E>>>,
    number: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self {
            due: BinaryHeap::new(),
            number: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Ms, event: E) {
        self.number += 1;
        let number = self.number;
        self.due.push(Reverse(Due { at, number, event }));
    }

    /// When the next one is due.
    pub(crate) fn next_at(&self) -> Option<Ms> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Ms, E)> {
        let Reverse(due) = self.due.pop()?;
        Some((due.at, due.event))
    }
}
