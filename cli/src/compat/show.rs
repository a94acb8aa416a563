//! `evenkeel compat show`: the matrix that is in place.

use super::{get, text};
use crate::failure::Failure;
use crate::output::{Format, remark};
use crate::session::Session;

pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let matrix = get(&session.client).await?;
    if matrix.version == 0 {
        remark("no matrix was ever applied; `evenkeel compat apply FILE` puts one in place");
    }
    let text = match session.output.format {
        Format::Table => text::matrix(&matrix)?,
        // A program gets it also where this one does not understand it.
        Format::Json => String::new(),
    };
    session.output.result(&matrix, || text)
}
