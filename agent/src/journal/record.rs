//! How a record is written: a protobuf message of its own, so that a later agent reads what an older one wrote.

use evenkeel_agent_core::{
    BootId, DataMove, Fallback, Fence, Finalized, Hold, Journey, Method, Order, OrderResult,
    Outcome, Purpose, Record, Release, Standing, StepName,
};
use evenkeel_common::digest::Digest;
use prost::Message;

/// The layout below.
const SCHEMA_VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct StoredRecord {
    #[prost(uint32, tag = "1")]
    schema_version: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(message, optional, tag = "3")]
    order: Option<StoredOrder>,
    #[prost(enumeration = "StoredStep", tag = "4")]
    step: i32,
    #[prost(message, optional, tag = "5")]
    journey: Option<StoredJourney>,
    #[prost(message, optional, tag = "6")]
    outcome: Option<StoredOutcome>,
    #[prost(bool, tag = "7")]
    drained: bool,
    #[prost(bool, tag = "8")]
    quiesced: bool,
    #[prost(message, optional, tag = "9")]
    finalized: Option<StoredFinalized>,
    /// What the coordinator has said of its staying down; absent if it never said anything.
    #[prost(message, optional, tag = "10")]
    hold: Option<StoredHold>,
    /// Under which id the storage system may have been told that its version is final; absent if it was not.
    #[prost(string, optional, tag = "11")]
    finalizing: Option<String>,
    #[prost(bool, tag = "12")]
    unproven: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredFinalized {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bool, tag = "2")]
    ok: bool,
    /// Why not.
    #[prost(string, tag = "3")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredHold {
    #[prost(uint64, tag = "1")]
    word: u64,
    /// Why it has to stay down; absent if it need not.
    #[prost(string, optional, tag = "2")]
    reason: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredOrder {
    #[prost(uint64, tag = "1")]
    generation: u64,
    #[prost(message, optional, tag = "2")]
    release: Option<StoredRelease>,
    #[prost(message, optional, tag = "3")]
    fallback: Option<StoredFallback>,
    #[prost(uint64, tag = "4")]
    ready_within_ms: u64,
    #[prost(bool, tag = "5")]
    rebuild: bool,
    #[prost(bool, tag = "6")]
    way_back: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredFallback {
    #[prost(message, optional, tag = "1")]
    release: Option<StoredRelease>,
    #[prost(bool, tag = "2")]
    rebuild: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredRelease {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredJourney {
    #[prost(message, optional, tag = "1")]
    target: Option<StoredRelease>,
    #[prost(bool, tag = "2")]
    back: bool,
    /// Of a way forward.
    #[prost(message, optional, tag = "3")]
    fallback: Option<StoredFallback>,
    /// Of a way back.
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(uint64, tag = "5")]
    deadline_ms: u64,
    #[prost(bytes = "vec", tag = "6")]
    boot: Vec<u8>,
    #[prost(enumeration = "StoredDataMove", tag = "7")]
    data: i32,
    /// The furthest step that was begun.
    #[prost(enumeration = "StoredStep", tag = "8")]
    furthest: i32,
}

#[derive(Clone, PartialEq, Message)]
struct StoredOutcome {
    #[prost(enumeration = "StoredResult", tag = "1")]
    result: i32,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(uint64, tag = "3")]
    stop_to_ready_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum StoredStep {
    Unspecified = 0,
    Settled = 1,
    Stopping = 2,
    Swapping = 3,
    Starting = 4,
    Draining = 5,
    Emptying = 6,
    Asking = 7,
    Quiescing = 8,
    Declining = 9,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum StoredDataMove {
    None = 0,
    SetAside = 1,
    PutBack = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum StoredResult {
    Unspecified = 0,
    Done = 1,
    Reverted = 2,
    Failed = 3,
    Declined = 4,
}

/// Why the bytes of a whole frame are no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// They are no such message.
    #[error("a journal record cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// A later agent wrote it.
    #[error("a journal record has the layout {0}, this agent knows {SCHEMA_VERSION}")]
    SchemaVersion(u32),
    /// Something is missing in it or has no meaning.
    #[error("a journal record has no valid {0}")]
    Field(&'static str),
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let (step, journey, outcome) = match &record.standing {
        Standing::Settled { outcome } => (StoredStep::Settled, None, outcome.as_ref()),
        Standing::Draining(journey, boot) => (StoredStep::Draining, Some((journey, boot)), None),
        Standing::Asking(journey, boot) => (StoredStep::Asking, Some((journey, boot)), None),
        Standing::Quiescing(journey, boot) => (StoredStep::Quiescing, Some((journey, boot)), None),
        Standing::Declining(journey, boot) => (StoredStep::Declining, Some((journey, boot)), None),
        Standing::Stopping(journey, boot) => (StoredStep::Stopping, Some((journey, boot)), None),
        Standing::Emptying(journey, boot) => (StoredStep::Emptying, Some((journey, boot)), None),
        Standing::Swapping(journey, boot) => (StoredStep::Swapping, Some((journey, boot)), None),
        Standing::Starting(journey, boot) => (StoredStep::Starting, Some((journey, boot)), None),
    };
    let stored = StoredRecord {
        schema_version: SCHEMA_VERSION,
        epoch: record.fence.epoch,
        order: record.fence.order.as_ref().map(store_order),
        step: step.into(),
        journey: journey.map(|(journey, boot)| store_journey(journey, *boot)),
        outcome: outcome.map(store_outcome),
        drained: record.drained,
        quiesced: record.quiesced,
        finalizing: record.finalizing.clone(),
        finalized: record.finalized.as_ref().map(store_finalized),
        hold: (record.hold != Hold::default()).then(|| StoredHold {
            word: record.hold.word,
            reason: record.hold.reason.clone(),
        }),
        unproven: record.unproven,
    };
    stored.encode_to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let stored = StoredRecord::decode(bytes)?;
    if stored.schema_version != SCHEMA_VERSION {
        return Err(RecordError::SchemaVersion(stored.schema_version));
    }
    let step = stored.step();
    let fence = Fence {
        epoch: stored.epoch,
        order: stored.order.map(order).transpose()?,
    };
    let journey = stored.journey.map(journey).transpose()?;
    let outcome = stored.outcome.map(outcome).transpose()?;
    let standing = match (step, journey) {
        (StoredStep::Settled, None) => Standing::Settled { outcome },
        (StoredStep::Draining, Some((journey, boot))) => Standing::Draining(journey, boot),
        (StoredStep::Asking, Some((journey, boot))) => Standing::Asking(journey, boot),
        (StoredStep::Quiescing, Some((journey, boot))) => Standing::Quiescing(journey, boot),
        (StoredStep::Declining, Some((journey, boot))) => Standing::Declining(journey, boot),
        (StoredStep::Stopping, Some((journey, boot))) => Standing::Stopping(journey, boot),
        (StoredStep::Emptying, Some((journey, boot))) => Standing::Emptying(journey, boot),
        (StoredStep::Swapping, Some((journey, boot))) => Standing::Swapping(journey, boot),
        (StoredStep::Starting, Some((journey, boot))) => Standing::Starting(journey, boot),
        (
            StoredStep::Unspecified
            | StoredStep::Settled
            | StoredStep::Draining
            | StoredStep::Asking
            | StoredStep::Quiescing
            | StoredStep::Declining
            | StoredStep::Stopping
            | StoredStep::Emptying
            | StoredStep::Swapping
            | StoredStep::Starting,
            _,
        ) => return Err(RecordError::Field("step")),
    };
    Ok(Record {
        fence,
        drained: stored.drained,
        quiesced: stored.quiesced,
        finalizing: stored.finalizing,
        unproven: stored.unproven,
        finalized: stored.finalized.map(finalized),
        hold: stored.hold.map_or_else(Hold::default, |hold| Hold {
            word: hold.word,
            reason: hold.reason,
        }),
        standing,
    })
}

fn store_finalized(finalized: &Finalized) -> StoredFinalized {
    let reason = finalized.outcome.clone().err();
    StoredFinalized {
        id: finalized.id.clone(),
        ok: reason.is_none(),
        reason: reason.unwrap_or_default(),
    }
}

fn finalized(stored: StoredFinalized) -> Finalized {
    Finalized {
        id: stored.id,
        outcome: match stored.ok {
            true => Ok(()),
            false => Err(stored.reason),
        },
    }
}

fn store_order(order: &Order) -> StoredOrder {
    StoredOrder {
        generation: order.generation,
        release: Some(store_release(&order.release)),
        fallback: order.fallback.as_ref().map(store_fallback),
        ready_within_ms: order.ready_within_ms,
        rebuild: order.method == Method::Rebuild,
        way_back: order.way_back,
    }
}

fn order(stored: StoredOrder) -> Result<Order, RecordError> {
    Ok(Order {
        generation: stored.generation,
        release: stored
            .release
            .map(release)
            .transpose()?
            .ok_or(RecordError::Field("order"))?,
        method: method(stored.rebuild),
        fallback: stored.fallback.map(fallback).transpose()?,
        ready_within_ms: stored.ready_within_ms,
        way_back: stored.way_back,
    })
}

fn method(rebuild: bool) -> Method {
    match rebuild {
        true => Method::Rebuild,
        false => Method::InPlace,
    }
}

fn store_fallback(fallback: &Fallback) -> StoredFallback {
    StoredFallback {
        release: Some(store_release(&fallback.release)),
        rebuild: fallback.method == Method::Rebuild,
    }
}

fn fallback(stored: StoredFallback) -> Result<Fallback, RecordError> {
    Ok(Fallback {
        release: stored
            .release
            .map(release)
            .transpose()?
            .ok_or(RecordError::Field("fallback"))?,
        method: method(stored.rebuild),
    })
}

fn store_release(release: &Release) -> StoredRelease {
    StoredRelease {
        version: release.version.to_string(),
        digest: release.digest.as_bytes().to_vec(),
    }
}

fn release(stored: StoredRelease) -> Result<Release, RecordError> {
    Ok(Release {
        version: stored
            .version
            .parse()
            .map_err(|_| RecordError::Field("version"))?,
        digest: Digest::try_from(stored.digest.as_slice())
            .map_err(|_| RecordError::Field("digest"))?,
    })
}

fn store_journey(journey: &Journey, boot: BootId) -> StoredJourney {
    let (back, fallback, reason) = match &journey.purpose {
        Purpose::Forward { fallback } => {
            (false, fallback.as_ref().map(store_fallback), String::new())
        }
        Purpose::Back { reason } => (true, None, reason.clone()),
    };
    let data = match journey.data {
        None => StoredDataMove::None,
        Some(DataMove::SetAside) => StoredDataMove::SetAside,
        Some(DataMove::PutBack) => StoredDataMove::PutBack,
    };
    let furthest = match journey.furthest {
        StepName::Draining => StoredStep::Draining,
        StepName::Asking => StoredStep::Asking,
        StepName::Quiescing => StoredStep::Quiescing,
        StepName::Stopping => StoredStep::Stopping,
        StepName::Emptying => StoredStep::Emptying,
        StepName::Swapping => StoredStep::Swapping,
        StepName::Starting | StepName::Verifying | StepName::Recovering | StepName::Ended => {
            StoredStep::Starting
        }
    };
    StoredJourney {
        target: Some(store_release(&journey.target)),
        back,
        fallback,
        reason,
        deadline_ms: journey.deadline_ms,
        boot: boot.0.to_vec(),
        data: data.into(),
        furthest: furthest.into(),
    }
}

fn journey(stored: StoredJourney) -> Result<(Journey, BootId), RecordError> {
    let data = match stored.data() {
        StoredDataMove::None => None,
        StoredDataMove::SetAside => Some(DataMove::SetAside),
        StoredDataMove::PutBack => Some(DataMove::PutBack),
    };
    let furthest = match stored.furthest() {
        StoredStep::Draining => StepName::Draining,
        StoredStep::Asking => StepName::Asking,
        StoredStep::Quiescing => StepName::Quiescing,
        StoredStep::Stopping => StepName::Stopping,
        StoredStep::Emptying => StepName::Emptying,
        StoredStep::Swapping => StepName::Swapping,
        StoredStep::Starting => StepName::Starting,
        StoredStep::Unspecified | StoredStep::Settled | StoredStep::Declining => {
            return Err(RecordError::Field("furthest"));
        }
    };
    let purpose = if stored.back {
        Purpose::Back {
            reason: stored.reason,
        }
    } else {
        Purpose::Forward {
            fallback: stored.fallback.map(fallback).transpose()?,
        }
    };
    let target = stored
        .target
        .map(release)
        .transpose()?
        .ok_or(RecordError::Field("target"))?;
    let boot = stored
        .boot
        .try_into()
        .map_err(|_| RecordError::Field("boot"))?;
    Ok((
        Journey {
            target,
            purpose,
            data,
            furthest,
            deadline_ms: stored.deadline_ms,
        },
        BootId(boot),
    ))
}

fn store_outcome(outcome: &Outcome) -> StoredOutcome {
    let result = match outcome.result {
        OrderResult::Done => StoredResult::Done,
        OrderResult::Reverted => StoredResult::Reverted,
        OrderResult::Failed => StoredResult::Failed,
        OrderResult::Declined => StoredResult::Declined,
    };
    StoredOutcome {
        result: result.into(),
        reason: outcome.reason.clone(),
        stop_to_ready_us: outcome.stop_to_ready_us,
    }
}

fn outcome(stored: StoredOutcome) -> Result<Outcome, RecordError> {
    let result = match stored.result() {
        StoredResult::Done => OrderResult::Done,
        StoredResult::Reverted => OrderResult::Reverted,
        StoredResult::Failed => OrderResult::Failed,
        StoredResult::Declined => OrderResult::Declined,
        StoredResult::Unspecified => return Err(RecordError::Field("result")),
    };
    Ok(Outcome {
        result,
        reason: stored.reason,
        stop_to_ready_us: stored.stop_to_ready_us,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_release() -> impl Strategy<Value = Release> {
        (any::<(u64, u64, u64)>(), any::<[u8; 32]>()).prop_map(|((major, minor, patch), digest)| {
            Release {
                version: semver::Version::new(major, minor, patch),
                digest: Digest::from_bytes(digest),
            }
        })
    }

    fn any_method() -> impl Strategy<Value = Method> {
        prop_oneof![Just(Method::InPlace), Just(Method::Rebuild)]
    }

    fn any_fallback() -> impl Strategy<Value = Option<Fallback>> {
        let fallback = (any_release(), any_method())
            .prop_map(|(release, method)| Fallback { release, method });
        proptest::option::of(fallback)
    }

    fn any_journey() -> impl Strategy<Value = (Journey, BootId)> {
        let purpose = prop_oneof![
            any_fallback().prop_map(|fallback| Purpose::Forward { fallback }),
            any::<String>().prop_map(|reason| Purpose::Back { reason }),
        ];
        let data = proptest::option::of(prop_oneof![
            Just(DataMove::SetAside),
            Just(DataMove::PutBack)
        ]);
        let furthest = prop_oneof![
            Just(StepName::Draining),
            Just(StepName::Asking),
            Just(StepName::Quiescing),
            Just(StepName::Stopping),
            Just(StepName::Emptying),
            Just(StepName::Swapping),
            Just(StepName::Starting),
        ];
        let parts = (any_release(), purpose, data, furthest, any::<u64>());
        (parts, any::<[u8; 16]>()).prop_map(
            |((target, purpose, data, furthest, deadline_ms), boot)| {
                (
                    Journey {
                        target,
                        purpose,
                        data,
                        furthest,
                        deadline_ms,
                    },
                    BootId(boot),
                )
            },
        )
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        let result = prop_oneof![
            Just(OrderResult::Done),
            Just(OrderResult::Reverted),
            Just(OrderResult::Failed),
            Just(OrderResult::Declined)
        ];
        (result, any::<String>(), any::<u64>()).prop_map(|(result, reason, stop_to_ready_us)| {
            Outcome {
                result,
                reason,
                stop_to_ready_us,
            }
        })
    }

    pub(in super::super) fn any_record() -> impl Strategy<Value = Record> {
        let order = (
            any::<u64>(),
            any_release(),
            any_method(),
            any_fallback(),
            any::<u64>(),
            any::<bool>(),
        )
            .prop_map(
                |(generation, release, method, fallback, ready_within_ms, way_back)| Order {
                    generation,
                    release,
                    method,
                    fallback,
                    ready_within_ms,
                    way_back,
                },
            );
        let standing = prop_oneof![
            proptest::option::of(any_outcome()).prop_map(|outcome| Standing::Settled { outcome }),
            any_journey().prop_map(|(journey, boot)| Standing::Draining(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Asking(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Quiescing(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Declining(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Stopping(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Emptying(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Swapping(journey, boot)),
            any_journey().prop_map(|(journey, boot)| Standing::Starting(journey, boot)),
        ];
        let fence = (any::<u64>(), proptest::option::of(order))
            .prop_map(|(epoch, order)| Fence { epoch, order });
        let outcome = prop_oneof![Just(Ok(())), any::<String>().prop_map(Err)];
        let finalized =
            (any::<String>(), outcome).prop_map(|(id, outcome)| Finalized { id, outcome });
        let finalized = proptest::option::of(finalized);
        let hold = (any::<u64>(), proptest::option::of(".{0,20}"))
            .prop_map(|(word, reason)| Hold { word, reason });
        let told = (proptest::option::of(".{0,20}"), finalized, hold);
        let flags = any::<[bool; 3]>();
        (fence, flags, told, standing).prop_map(
            |(fence, [drained, quiesced, unproven], (finalizing, finalized, hold), standing)| {
                Record {
                    fence,
                    drained,
                    quiesced,
                    unproven,
                    finalizing,
                    finalized,
                    hold,
                    standing,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(record in any_record()) {
            prop_assert_eq!(decode(&encode(&record)).unwrap(), record);
        }

        #[test]
        fn rubbish_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_record_of_a_later_layout_is_refused() {
        let stored = StoredRecord {
            schema_version: 2,
            ..StoredRecord::default()
        };
        assert!(matches!(
            decode(&stored.encode_to_vec()),
            Err(RecordError::SchemaVersion(2))
        ));
    }
}
