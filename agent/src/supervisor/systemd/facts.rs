//! What systemd says of a unit, in words of our own: how it is now, and what it is made of.

use std::time::Duration;

use zbus::{OwnedVariant, Variant};

use super::bus::Properties;

/// How a unit is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitState {
    pub(super) active: Active,
    /// Tells one life of the unit from another; empty before the first.
    pub(super) invocation: Vec<u8>,
    /// Its main process; 0 while there is none.
    pub(super) main_pid: u32,
    /// When that was started, in microseconds since 1970.
    pub(super) started_at_us: u64,
    /// What became of its last main process, as `waitid` says.
    pub(super) main_code: i32,
    pub(super) main_status: i32,
    /// How its last life ended, in systemd's word.
    pub(super) result: String,
    pub(super) sub_state: String,
}

/// Whether anything of a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Active {
    /// Nothing does.
    No,
    /// It does, or begins to.
    Yes,
    /// It is being stopped, and something of it may still be there.
    Stopping,
}

/// What a unit is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its own name; another one may only be an alias.
    pub(super) id: String,
    pub(super) load_state: String,
    /// `Type=`.
    pub(super) kind: String,
    pub(super) commands: Vec<Command>,
    pub(super) restart: String,
    pub(super) kill_mode: String,
    /// None: it may take for ever.
    pub(super) stop_timeout: Option<Duration>,
    /// None: it may run for ever.
    pub(super) run_at_most: Option<Duration>,
    pub(super) remains_after_exit: bool,
    pub(super) refuses_manual_start: bool,
    pub(super) refuses_manual_stop: bool,
    /// Whether systemd starts it by itself, as `systemctl is-enabled` says it.
    pub(super) enabled: String,
    /// Units whose start starts it.
    pub(super) pulled_in_by: Vec<String>,
    /// Units whose stop stops it.
    pub(super) goes_with: Vec<String>,
    /// Paths that must not be there when it is started.
    pub(super) unless_exists: Vec<String>,
}

/// One command of `ExecStart=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) program: String,
    pub(super) ignores_failure: bool,
}

impl UnitState {
    /// Reads it from the properties of the unit.
    pub(super) fn of(properties: &Properties) -> Self {
        let read = Reader(properties);
        let active = match read.text("ActiveState").as_str() {
            "inactive" | "failed" => Active::No,
            "deactivating" => Active::Stopping,
            // Also what later versions may call it: something is there.
            _ => Active::Yes,
        };
        Self {
            active,
            invocation: read.bytes("InvocationID"),
            main_pid: u32::try_from(read.number("MainPID")).unwrap_or(0),
            started_at_us: read.number("ExecMainStartTimestamp"),
            main_code: read.signed("ExecMainCode"),
            main_status: read.signed("ExecMainStatus"),
            result: read.text("Result"),
            sub_state: read.text("SubState"),
        }
    }

    /// How the last life of the unit ended, for people.
    pub(super) fn how_it_ended(&self) -> String {
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2).
        let process = match self.main_code {
            1 => format!("exit status: {}", self.main_status),
            2 => format!("signal: {}", self.main_status),
            3 => format!("signal: {} (core dumped)", self.main_status),
            _ => "how its process ended is not known".to_owned(),
        };
        match self.result.as_str() {
            "" | "success" | "exit-code" | "signal" | "core-dump" => process,
            result => format!("{process} (systemd says: {result})"),
        }
    }
}

impl Definition {
    /// Reads it from the properties of the unit.
    pub(super) fn of(properties: &Properties) -> Self {
        let read = Reader(properties);
        let pulled_in_by = [
            "WantedBy",
            "RequiredBy",
            "UpheldBy",
            "BoundBy",
            "TriggeredBy",
        ];
        let goes_with = [
            "PartOf",
            "BindsTo",
            "Requires",
            "Requisite",
            "StopPropagatedFrom",
        ];
        Self {
            id: read.text("Id"),
            load_state: read.text("LoadState"),
            kind: read.text("Type"),
            commands: read.commands(),
            restart: read.text("Restart"),
            kill_mode: read.text("KillMode"),
            stop_timeout: read.duration("TimeoutStopUSec"),
            run_at_most: read.duration("RuntimeMaxUSec"),
            remains_after_exit: read.flag("RemainAfterExit"),
            refuses_manual_start: read.flag("RefuseManualStart"),
            refuses_manual_stop: read.flag("RefuseManualStop"),
            enabled: read.text("UnitFileState"),
            pulled_in_by: pulled_in_by
                .into_iter()
                .flat_map(|name| read.texts(name))
                .collect(),
            goes_with: goes_with
                .into_iter()
                .flat_map(|name| read.texts(name))
                .collect(),
            unless_exists: read.unless_exists(),
        }
    }
}

/// Reads properties; what is not there, or of another type, is empty.
struct Reader<'a>(&'a Properties);

impl Reader<'_> {
    fn value(&self, name: &str) -> Option<&Variant<'static>> {
        self.0.get(name).map(|value: &OwnedVariant| &**value)
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Variant::Str(text)) => text.to_string(),
            Some(_) | None => String::new(),
        }
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let Some(Variant::Array(array)) = self.value(name) else {
            return Vec::new();
        };
        array.iter().filter_map(as_text).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let Some(Variant::Array(array)) = self.value(name) else {
            return Vec::new();
        };
        let bytes = array.iter().filter_map(|value| match value {
            Variant::U8(byte) => Some(*byte),
            _ => None,
        });
        bytes.collect()
    }

    fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Variant::U64(number)) => *number,
            Some(Variant::U32(number)) => u64::from(*number),
            Some(_) | None => 0,
        }
    }

    fn signed(&self, name: &str) -> i32 {
        match self.value(name) {
            Some(Variant::I32(number)) => *number,
            Some(_) | None => 0,
        }
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Variant::Bool(true)))
    }

    /// A time in microseconds; none if it is without end, as systemd writes it.
    fn duration(&self, name: &str) -> Option<Duration> {
        let us = self.number(name);
        (us != u64::MAX).then(|| Duration::from_micros(us))
    }

    /// `ExecStart`: program, words, whether its failure counts, and when it ran last.
    fn commands(&self) -> Vec<Command> {
        let command = |fields: &[Variant<'_>]| {
            Some(Command {
                program: as_text(fields.first()?)?,
                ignores_failure: matches!(fields.get(2), Some(Variant::Bool(true))),
            })
        };
        self.structures("ExecStart").filter_map(command).collect()
    }

    /// Those of `Conditions` that name a path which must not be there: type, whether one of several is enough, whether
    /// it is negated, its parameter, and how it went last.
    fn unless_exists(&self) -> Vec<String> {
        let path = |fields: &[Variant<'_>]| {
            let is_exists = as_text(fields.first()?)? == "ConditionPathExists";
            let [_, Variant::Bool(false), Variant::Bool(true), path, ..] = fields else {
                return None;
            };
            as_text(path).filter(|_| is_exists)
        };
        self.structures("Conditions").filter_map(path).collect()
    }

    fn structures(&self, name: &str) -> impl Iterator<Item = &[Variant<'static>]> {
        let array = match self.value(name) {
            Some(Variant::Array(array)) => Some(array),
            Some(_) | None => None,
        };
        let values = array.into_iter().flat_map(|array| array.iter());
        values.filter_map(|value| match value {
            Variant::Structure(structure) => Some(structure.fields()),
            _ => None,
        })
    }
}

fn as_text(value: &Variant<'_>) -> Option<String> {
    match value {
        Variant::Str(text) => Some(text.to_string()),
        _ => None,
    }
}
