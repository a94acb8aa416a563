//! The coordinator's word that an instance stays down.

/// Whether an instance has to stay down where no process of it runs, and which word of the coordinator's says so. It
/// is durable before it counts: an agent that is started again does not start what is to stay down, however long
/// nobody says anything more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Rises with each word on this, lifted or not: an older one that comes late is not heeded.
    pub word: u64,
    /// Why it has to stay down; none if it need not.
    pub reason: Option<String>,
}
