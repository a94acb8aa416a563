//! The talk with systemd over D-Bus: one connection for all units, made again whenever it is lost.
//!
//! Signals only say that it is worth looking again; what is true is read from the unit itself. So a signal that is
//! lost, doubled or made up does no harm. Every call has a limit of time, and what goes unanswered is *unreachable*,
//! which says nothing about any unit.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_common::limits::{REASON_BYTES_MAX, cut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_stream::StreamExt as _;
use zbus::{
    Connection, MessageStream, OwnedObjectPath, OwnedVariant,
    message::{Message, Type},
};

use crate::backoff::Backoff;

/// Who is talked to, and where.
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";

/// How long one call may take: systemd answers in milliseconds, and at most reads units anew meanwhile.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a connection, so that a bus that is being started again is not noticed.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The waits between the attempts at a connection.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// How many results of jobs are kept for those who asked for them.
const RESULTS_KEPT: usize = 64;

/// As many messages wait to be looked at; more hold the connection back.
const QUEUE: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It did not answer, or nobody is there. What it was asked may have been done all the same.
    #[error("systemd does not answer: {0}")]
    Unreachable(String),
    /// It answered that it will not.
    #[error("systemd refuses {call}: {reason}")]
    Refused {
        /// What it was asked.
        call: &'static str,
        /// What it says.
        reason: String,
    },
}

/// All that systemd says of an object's interface, by name.
pub(super) type Properties = BTreeMap<String, OwnedVariant>;

/// The connection to systemd.
#[derive(Debug)]
pub struct Bus {
    /// The connection while there is one, and else why there is none.
    connection: watch::Sender<Result<Connection, String>>,
    /// By unit: counts what may have changed of it.
    units: BTreeMap<String, watch::Sender<u64>>,
    results: Mutex<VecDeque<(OwnedObjectPath, String)>>,
    /// Why the newest call went unanswered, if it did.
    silence: Mutex<Option<String>>,
}

impl Bus {
    /// A connection for these units, which [`Bus::run`] makes.
    #[must_use]
    pub fn new(units: impl IntoIterator<Item = String>) -> Self {
        let units = units.into_iter().map(|unit| (unit, watch::Sender::new(0)));
        Self {
            connection: watch::Sender::new(Err("no connection was made yet".to_owned())),
            units: units.collect(),
            results: Mutex::default(),
            silence: Mutex::default(),
        }
    }

    /// Whether there is any unit to talk about.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.units.is_empty()
    }

    /// Keeps a connection for as long as this is polled.
    pub async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        loop {
            let why = match timeout(CALL_TIMEOUT, self.connect()).await {
                Ok(Ok((connection, messages))) => {
                    tracing::info!("connected to systemd");
                    backoff.reset();
                    let _ = self.connection.send_replace(Ok(connection));
                    self.all_may_have_changed();
                    self.listen(messages).await;
                    "the connection was lost".to_owned()
                }
                Ok(Err(error)) => cut(error.to_string(), REASON_BYTES_MAX / 4),
                Err(_) => "it takes too long to connect".to_owned(),
            };
            let is_news = self.connection.send_if_modified(|connection| {
                let is_news = !matches!(connection, Err(before) if *before == why);
                *connection = Err(why.clone());
                is_news
            });
            if is_news {
                tracing::warn!(%why, "systemd cannot be reached; tried again until it can");
            }
            self.all_may_have_changed();
            sleep(backoff.wait()).await;
        }
    }

    async fn connect(&self) -> zbus::Result<(Connection, MessageStream)> {
        let builder = zbus::connection::Builder::system().max_queued(QUEUE);
        let connection = builder.build().await?;
        // Before anything is asked for, so that nothing is missed.
        let messages = MessageStream::from(&connection);
        for unit in self.units.keys() {
            let path = path_of(unit);
            let rules = [
                format!("type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',path='{path}'"),
                format!(
                    "type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved',arg2='{unit}'"
                ),
            ];
            for rule in &rules {
                add_match(&connection, rule).await?;
            }
        }
        add_match(
            &connection,
            &format!("type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"),
        )
        .await?;
        self.subscribe(&connection).await?;
        Ok((connection, messages))
    }

    /// Has systemd send signals, and keep what it knows of our units also when they have ended.
    async fn subscribe(&self, connection: &Connection) -> zbus::Result<()> {
        match call_manager(connection, "Subscribe", &()).await {
            // It says so to one who has subscribed already.
            Ok(_) | Err(zbus::Error::MethodError(..)) => {}
            Err(error) => return Err(error),
        }
        for unit in self.units.keys() {
            match call_manager(connection, "RefUnit", &(unit,)).await {
                // One that is not there is found out when it is looked at.
                Ok(_) | Err(zbus::Error::MethodError(..)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes in what systemd says by itself, until the connection is lost.
    async fn listen(&self, mut messages: MessageStream) {
        while let Some(Ok(message)) = messages.next().await {
            if message.message_type() != Type::Signal {
                continue;
            }
            let header = message.header();
            let member = header.member().map(|member| member.as_str());
            match member {
                Some("PropertiesChanged") => {
                    let path = header.path().map(|path| path.as_str());
                    let mut units = self.units.iter();
                    let unit = units.find(|(unit, _)| path == Some(path_of(unit).as_str()));
                    if let Some((_, changes)) = unit {
                        changes.send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Some("JobRemoved") => self.job_removed(&message),
                Some("NameOwnerChanged") => {
                    let connection = self.connection.borrow().clone();
                    if let Ok(connection) = connection {
                        // Where nobody has the name there is nobody to ask; the next owner is told.
                        let _ = timeout(CALL_TIMEOUT, self.subscribe(&connection)).await;
                    }
                    self.all_may_have_changed();
                }
                // The bus greets, and others may say what they like.
                Some(_) | None => {}
            }
        }
    }

    fn job_removed(&self, message: &Message) {
        let body = message.body();
        let Ok((_, job, unit, result)) =
            body.deserialize::<(u32, OwnedObjectPath, String, String)>()
        else {
            return;
        };
        let Some(changes) = self.units.get(&unit) else {
            return;
        };
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.push_back((job, result));
        if results.len() > RESULTS_KEPT {
            results.pop_front();
        }
        drop(results);
        changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn all_may_have_changed(&self) {
        for changes in self.units.values() {
            changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// What tells that a unit may have changed, or the connection. Of a unit that is none of ours it says nothing.
    pub(super) fn changes(&self, unit: &str) -> watch::Receiver<u64> {
        match self.units.get(unit) {
            Some(changes) => changes.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    /// How a job ended, if that is known.
    pub(super) fn result_of(&self, job: &OwnedObjectPath) -> Option<String> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = results.iter().rev();
        known
            .find(|(known, _)| known == job)
            .map(|(_, result)| result.clone())
    }

    /// Why systemd cannot be reached, while it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        let silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.connection.borrow().as_ref().err().cloned();
        lost.or_else(|| silence.clone())
    }

    /// Notes whether a call was answered.
    fn note<R>(&self, answer: Result<R, BusError>) -> Result<R, BusError> {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        *silence = match &answer {
            Err(BusError::Unreachable(why)) => Some(why.clone()),
            Ok(_) | Err(BusError::Refused { .. }) => None,
        };
        answer
    }

    /// Has a unit started.
    pub(super) async fn start(&self, unit: &str) -> Result<OwnedObjectPath, BusError> {
        self.ask("StartUnit", &(unit, "replace")).await
    }

    /// Has a unit stopped, in the way and in the time that it says itself.
    pub(super) async fn stop(&self, unit: &str) -> Result<OwnedObjectPath, BusError> {
        self.ask("StopUnit", &(unit, "replace")).await
    }

    /// Sends a signal to every process of a unit.
    pub(super) async fn kill_all(&self, unit: &str, signal: i32) -> Result<(), BusError> {
        self.ask("KillUnit", &(unit, "all", signal)).await
    }

    /// Has a unit's failure forgotten, and how often it was started.
    pub(super) async fn reset_failed(&self, unit: &str) -> Result<(), BusError> {
        self.ask("ResetFailedUnit", &(unit,)).await
    }

    /// All that is known of a unit, and of it as a service.
    pub(super) async fn properties(&self, unit: &str) -> Result<Properties, BusError> {
        let path = path_of(unit);
        let mut all: Properties = BTreeMap::new();
        for interface in [UNIT, SERVICE] {
            let connection = self.connected().await?;
            let body = (interface,);
            let call = connection.call_method(
                Some(SYSTEMD),
                path.as_str(),
                Some(PROPERTIES),
                "GetAll",
                &body,
            );
            all.extend(self.note(answer::<Properties>("GetAll", call).await)?);
        }
        Ok(all)
    }

    async fn ask<B, R>(&self, call: &'static str, body: &B) -> Result<R, BusError>
    where
        B: Serialize + zbus::DynamicType,
        R: DeserializeOwned + zbus::Type,
    {
        let connection = self.connected().await?;
        self.note(answer(call, call_manager(&connection, call, body)).await)
    }

    async fn connected(&self) -> Result<Connection, BusError> {
        let mut connection = self.connection.subscribe();
        let there = timeout(CONNECTION_TIMEOUT, connection.wait_for(Result::is_ok)).await;
        match there {
            Ok(Ok(connection)) => match &*connection {
                Ok(connection) => Ok(connection.clone()),
                Err(why) => Err(BusError::Unreachable(why.clone())),
            },
            Ok(Err(_)) | Err(_) => {
                let why = self.trouble().unwrap_or_default();
                Err(BusError::Unreachable(why))
            }
        }
    }
}

async fn add_match(connection: &Connection, rule: &str) -> zbus::Result<()> {
    connection
        .call_method(Some(DBUS), DBUS_PATH, Some(DBUS), "AddMatch", &(rule,))
        .await
        .map(drop)
}

async fn call_manager<B>(
    connection: &Connection,
    call: &'static str,
    body: &B,
) -> zbus::Result<Message>
where
    B: Serialize + zbus::DynamicType,
{
    connection
        .call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), call, body)
        .await
}

/// Waits for an answer for as long as one may take, and reads it.
async fn answer<R>(
    call: &'static str,
    asked: impl Future<Output = zbus::Result<Message>>,
) -> Result<R, BusError>
where
    R: DeserializeOwned + zbus::Type,
{
    let answered = timeout(CALL_TIMEOUT, asked).await;
    let Ok(answered) = answered else {
        let why = format!("no answer to {call} within {} s", CALL_TIMEOUT.as_secs());
        return Err(BusError::Unreachable(why));
    };
    let refused = |reason: String| BusError::Refused {
        call,
        reason: cut(reason, REASON_BYTES_MAX / 4),
    };
    match answered {
        Ok(message) => message
            .body()
            .deserialize()
            .map_err(|error| refused(error.to_string())),
        Err(zbus::Error::MethodError(name, reason, _)) => {
            Err(refused(reason.unwrap_or_else(|| name.to_string())))
        }
        Err(zbus::Error::FDO(error)) => match *error {
            zbus::fdo::Error::Failed(reason)
            | zbus::fdo::Error::NotSupported(reason)
            | zbus::fdo::Error::LimitsExceeded(reason)
            | zbus::fdo::Error::AccessDenied(reason)
            | zbus::fdo::Error::AuthFailed(reason)
            | zbus::fdo::Error::InvalidArgs(reason)
            | zbus::fdo::Error::FileNotFound(reason)
            | zbus::fdo::Error::FileExists(reason)
            | zbus::fdo::Error::UnknownMethod(reason)
            | zbus::fdo::Error::UnknownObject(reason)
            | zbus::fdo::Error::UnknownInterface(reason)
            | zbus::fdo::Error::UnknownProperty(reason)
            | zbus::fdo::Error::InvalidSignature(reason)
            | zbus::fdo::Error::InvalidFileContent(reason)
            | zbus::fdo::Error::InteractiveAuthorizationRequired(reason) => Err(refused(reason)),
            // The bus says these: nobody has the name, or whoever has it is silent.
            other => Err(BusError::Unreachable(cut(
                other.to_string(),
                REASON_BYTES_MAX / 4,
            ))),
        },
        Err(error) => Err(BusError::Unreachable(cut(
            error.to_string(),
            REASON_BYTES_MAX / 4,
        ))),
    }
}

/// The path of a unit's object: its name with all but ASCII letters and digits escaped, as sd_bus_path_encode(3) does.
fn path_of(unit: &str) -> String {
    let mut path = UNIT_PATH.to_owned();
    for (index, byte) in unit.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && index > 0);
        match is_plain {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_path_is_escaped_as_systemd_does() {
        assert_eq!(
            path_of("1-store@a.service"),
            "/org/freedesktop/systemd1/unit/_31_2dstore_40a_2eservice"
        );
        assert_eq!(
            path_of("etcd2.service"),
            "/org/freedesktop/systemd1/unit/etcd2_2eservice"
        );
    }

    #[tokio::test]
    async fn without_a_connection_a_call_is_unreachable_within_its_time() {
        let bus = Bus::new(["a.service".to_owned()]);
        let error = bus.properties("a.service").await.unwrap_err();
        assert!(matches!(error, BusError::Unreachable(_)), "{error}");
    }
}
