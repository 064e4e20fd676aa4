//! Losses summed up by place, and told not more than once a second however often something is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{LossPlace, Lost};
use crate::time::Timestamp;

/// How long losses are gathered before they are told again.
const PAUSE: Duration = Duration::from_secs(1);

/// What was lost at one place since the observation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Losses by place.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The sum, and whether it has grown since it was told.
    sums: BTreeMap<LossPlace, (Sum, bool)>,
    told: Option<Timestamp>,
}

impl Losses {
    pub(super) fn add(&mut self, lost: &Lost) {
        let (sum, news) = self.sums.entry(lost.place).or_default();
        sum.records = sum.records.saturating_add(lost.records);
        sum.bytes = sum.bytes.saturating_add(lost.bytes);
        *news = true;
    }

    /// What has grown, if it is time to tell it.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Vec<(LossPlace, Sum)>> {
        let waited = self.told.is_none_or(|told| now.since(told) >= PAUSE);
        if waited { self.news(now) } else { None }
    }

    /// What has grown.
    pub(super) fn news(&mut self, now: Timestamp) -> Option<Vec<(LossPlace, Sum)>> {
        let news: Vec<_> = self
            .sums
            .iter_mut()
            .filter(|(_, (_, news))| *news)
            .map(|(place, (sum, news))| {
                *news = false;
                (*place, *sum)
            })
            .collect();
        if news.is_empty() {
            return None;
        }
        self.told = Some(now);
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_told_when_they_have_grown_and_at_most_once_a_second() {
        let mut losses = Losses::default();
        let second = |second: u64| Timestamp(second * 1_000_000_000);
        let lost = |place, records| Lost { time: second(1), place, key: None, records, bytes: 10 };
        assert_eq!(losses.due(second(1)), None);
        losses.add(&lost(LossPlace::PayloadRing, 2));
        assert_eq!(
            losses.due(second(1)),
            Some(vec![(LossPlace::PayloadRing, Sum { records: 2, bytes: 10 })])
        );
        losses.add(&lost(LossPlace::PayloadRing, 3));
        losses.add(&lost(LossPlace::Sink, 1));
        assert_eq!(losses.due(Timestamp(1_999_999_999)), None);
        assert_eq!(
            losses.due(second(2)),
            Some(vec![
                (LossPlace::PayloadRing, Sum { records: 5, bytes: 20 }),
                (LossPlace::Sink, Sum { records: 1, bytes: 10 }),
            ])
        );
        assert_eq!(losses.news(second(3)), None);
    }
}
