//! Orders of series: by value, by labels with numbers among the text.

use std::cmp::Ordering;

use nines_storage::model::Labels;

use super::functions::labels::natural_cmp;

/// By value, ascending or descending; NaN last either way.
pub(super) fn values(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

/// By the values of the labels of `names` in turn, then by the whole sets.
pub(super) fn labels(a: &Labels, b: &Labels, names: &[&str]) -> Ordering {
    for name in names {
        let (a, b) = (a.get(name), b.get(name));
        if a != b {
            return natural_cmp(a, b);
        }
    }
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_last_in_both_directions() {
        for descending in [false, true] {
            let mut list = [f64::NAN, 1.0, 3.0, f64::NAN, 2.0];
            list.sort_by(|a, b| values(*a, *b, descending));
            assert!(list[3].is_nan() && list[4].is_nan());
            assert_eq!(list[1], 2.0);
            assert_eq!(list[0], if descending { 3.0 } else { 1.0 });
        }
    }
}
