//! Paired measurements.

use std::fmt;

use anyhow::Result;

/// The smallest, the middle and the largest of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one measurement; zeros of none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) && half > 0 {
            f64::midpoint(at(half - 1), at(half))
        } else {
            at(half)
        };
        Self { min: at(0), median, max: at(values.len().saturating_sub(1)) }
    }
}

/// `median (min–max)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        write!(f, "{:.places$} ({:.places$}–{:.places$})", self.median, self.min, self.max)
    }
}

/// Measurements of two things, taken in turn: A B, B A, A B, …, so that what the machine does besides meets both alike.
#[derive(Debug)]
pub struct Pairs {
    pub a: Spread,
    pub b: Spread,
    /// Each pair's A ÷ B.
    pub ratio: Spread,
}

impl Pairs {
    /// Takes `count` pairs.
    pub fn take(
        count: usize,
        mut a: impl FnMut() -> Result<f64>,
        mut b: impl FnMut() -> Result<f64>,
    ) -> Result<Self> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for turn in 0..count {
            if turn % 2 == 0 {
                left.push(a()?);
                right.push(b()?);
            } else {
                right.push(b()?);
                left.push(a()?);
            }
        }
        let ratio = left.iter().zip(&right).map(|(a, b)| a / b).collect();
        Ok(Self { a: Spread::of(left), b: Spread::of(right), ratio: Spread::of(ratio) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_ends_and_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 9.0]), Spread { min: 1.0, median: 3.0, max: 9.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of(vec![]).max, 0.0);
        assert_eq!(format!("{:.1}", Spread::of(vec![1.0, 2.0, 3.0])), "2.0 (1.0–3.0)");
    }

    #[test]
    fn pairs_take_turns_and_each_ratio_is_of_one_pair() {
        let (turn, order) = (std::cell::Cell::new(0.0), std::cell::RefCell::new(String::new()));
        let next = |name| {
            order.borrow_mut().push(name);
            turn.set(turn.get() + 1.0);
            Ok(turn.get())
        };
        let pairs = Pairs::take(2, || next('a'), || next('b')).unwrap();
        assert_eq!(*order.borrow(), "abba");
        assert_eq!(pairs.ratio, Spread::of(vec![0.5, 4.0 / 3.0]));
    }
}
