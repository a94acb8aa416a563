//! Releases: complete, verified, side by side, and which one is current.
//!
//! ```text
//! releases/<component>/<version>-<digest>/<binary>    a release; the folder is put in place by one rename. One that was
//!                                                     packed has all that was in the archive beside it
//! releases/<component>/<version>-<digest>/release.json    which one it is, and who signed it
//! releases/<component>/.part-<digest>                 a download so far
//! instances/<instance>/current                        a link to the release that should run
//! ```
//!
//! A folder that has its final name is whole: [`Store`] gives it that name last. [`current`] moves the link,
//! [`fetch`] downloads, [`Prefetcher`] keeps at hand what the coordinator asks for.

pub mod current;
mod description;
pub mod fetch;
mod prefetch;
mod store;
mod unpack;

pub use prefetch::{AllWanted, Prefetcher, Stage, Staged, Wanted};
pub use store::{Origin, Store, StoreError, Trust};
