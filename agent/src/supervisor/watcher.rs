//! Notices that processes end: one thread for all of them, asleep until one does.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
};
use tokio::sync::oneshot;

/// Watches processes through their pidfds, which works for those that are not the agent's children too.
#[derive(Debug)]
pub struct ExitWatcher {
    shared: Arc<Shared>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    watched: Mutex<BTreeMap<u64, Watched>>,
}

#[derive(Debug)]
struct Watched {
    pidfd: Arc<OwnedFd>,
    ended: oneshot::Sender<()>,
}

impl ExitWatcher {
    /// Starts the thread. It lives as long as the program.
    ///
    /// # Errors
    /// When the system has no thread or no file descriptor to give.
    pub fn start() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let shared = Arc::new(Shared {
            epoll,
            watched: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("exits".to_owned())
            .stack_size(64 << 10)
            .spawn(move || for_thread.run())?;
        Ok(Self {
            shared,
            next: AtomicU64::new(0),
        })
    }

    /// What is done when the process of this pidfd has ended.
    ///
    /// # Errors
    /// When the kernel refuses to watch it.
    pub(crate) fn watch(&self, pidfd: &Arc<OwnedFd>) -> io::Result<oneshot::Receiver<()>> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let (ended, receiver) = oneshot::channel();
        let mut watched = self
            .shared
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        epoll::add(
            &self.shared.epoll,
            pidfd,
            EventData::new_u64(key),
            EventFlags::IN,
        )?;
        watched.insert(
            key,
            Watched {
                pidfd: Arc::clone(pidfd),
                ended,
            },
        );
        Ok(receiver)
    }
}

impl Shared {
    fn run(&self) {
        let mut events = Vec::with_capacity(16);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    // Cannot happen with arguments like these; without it no end would be noticed.
                    tracing::error!(%error, "cannot wait for processes to end");
                    return;
                }
            }
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events.drain(..) {
                if let Some(Watched { pidfd, ended }) = watched.remove(&event.data.u64()) {
                    let _ = epoll::delete(&self.epoll, &pidfd);
                    // Nobody may be waiting any more.
                    let _ = ended.send(());
                }
            }
        }
    }
}
