//! The query of a paged list: `after=KEY&limit=N`, both optional.

use crate::Key;
use crate::key::InvalidKey;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery {
    pub(super) after: Option<Key>,
    /// From 1 to the most the list allows.
    pub(super) keys_max: usize,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum InvalidQuery {
    #[error("after is no key")]
    After(#[from] InvalidKey),
    #[error("limit is a number from 1")]
    Limit,
    #[error("a page is asked for with after=KEY and limit=N")]
    Unknown,
}

impl PageQuery {
    /// Keys need no escaping, so there is nothing to unescape. A limit above the most allowed is lowered to it.
    pub(super) fn parse(
        query: Option<&str>,
        keys_allowed_max: usize,
    ) -> Result<Self, InvalidQuery> {
        let mut page = Self {
            after: None,
            keys_max: keys_allowed_max,
        };
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            match pair.split_once('=') {
                Some(("after", key)) => page.after = Some(key.parse()?),
                Some(("limit", number)) => {
                    let limit: usize = number.parse().map_err(|_| InvalidQuery::Limit)?;
                    if limit == 0 {
                        return Err(InvalidQuery::Limit);
                    }
                    page.keys_max = limit.min(keys_allowed_max);
                }
                _ => return Err(InvalidQuery::Unknown),
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_query_is_checked_and_limited() {
        let parse = |query| PageQuery::parse(query, 10);
        assert_eq!(
            parse(None),
            Ok(PageQuery {
                after: None,
                keys_max: 10
            })
        );
        assert_eq!(
            parse(Some("limit=3&after=k")),
            Ok(PageQuery {
                after: "k".parse().ok(),
                keys_max: 3
            })
        );
        assert_eq!(parse(Some("limit=99")).unwrap().keys_max, 10);
        for bad in [
            "limit=0",
            "limit=-1",
            "after=a/b",
            "after=",
            "before=k",
            "x",
        ] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
