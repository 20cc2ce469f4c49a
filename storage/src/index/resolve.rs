//! Matchers to series, once for both indexes.
//!
//! Conditions on target labels are settled among entities, of which there are few, and only then turned
//! into series. Conditions that a series without the label fulfils are taken as their complement and
//! subtracted last; the others are intersected, the smallest first.

use std::borrow::Cow;
use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::pattern::Pattern;
use super::top::Top;
use crate::error::Result;
use crate::model::{MatchOp, Matcher};

/// What the postings of a label name are sets of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Entities: the name is a target label.
    Entities,
    /// Series.
    Series,
}

/// An index as the resolution sees it. Unknown names have no values.
pub(super) trait LabelIndex {
    /// All series.
    fn all(&self) -> Result<RoaringBitmap>;
    /// All entities.
    fn all_entities(&self) -> Result<RoaringBitmap>;
    /// What the postings of `name` are sets of.
    fn space(&self, name: &str) -> Result<Space>;
    /// Who has the pair.
    fn pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>>;
    /// Who has the label.
    fn having(&self, name: &str) -> Result<Cow<'_, RoaringBitmap>>;
    /// Number of values of a label.
    fn n_values(&self, name: &str) -> Result<usize>;
    /// Who has the label with a value that begins with `prefix` and is accepted.
    fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap>;
    /// Shows every value of a label with its postings' size among `within` (0 only for values outside).
    /// `None`: among all.
    fn for_each_value(
        &self,
        name: &str,
        within: Option<&RoaringBitmap>,
        show: &mut dyn FnMut(&str, u64),
    ) -> Result<()>;
    /// Shows every label name.
    fn for_each_name(&self, show: &mut dyn FnMut(&str)) -> Result<()>;
    /// Shows the names of the labels of a series.
    fn for_each_name_of(&self, ord: u32, show: &mut dyn FnMut(&str)) -> Result<()>;
    /// Entity of a series.
    fn entity(&self, ord: u32) -> Result<u32>;
    /// Shape of a series.
    fn shape(&self, ord: u32) -> Result<u32>;
    /// Series of the entities.
    fn series_of(&self, entities: &RoaringBitmap) -> Result<RoaringBitmap>;
    /// Value of a label of a series; empty when it has none.
    fn value_of(&self, ord: u32, name: &str) -> Result<&str>;
}

/// The series that satisfy all of `matchers`. No matcher: all series.
pub(super) fn resolve<I: LabelIndex>(index: &I, matchers: &[Matcher]) -> Result<RoaringBitmap> {
    let mut of_target = Vec::new();
    let mut of_series = Vec::new();
    for matcher in matchers {
        match index.space(&matcher.name)? {
            Space::Entities => of_target.push(matcher),
            Space::Series => of_series.push(matcher),
        }
    }
    let entities = if of_target.is_empty() {
        None
    } else {
        Some(intersect(index, Space::Entities, &of_target, None)?)
    };
    match entities {
        Some(entities) if entities.is_empty() => Ok(RoaringBitmap::new()),
        entities => intersect(index, Space::Series, &of_series, entities.as_ref()),
    }
}

/// One condition after looking at its pattern.
enum Condition<'a, 'm> {
    /// In this set.
    In(Cow<'a, RoaringBitmap>),
    /// Not in this set.
    NotIn(Cow<'a, RoaringBitmap>),
    /// To be found by walking the values, and whether the found are to be taken out.
    Walk { matcher: &'m Matcher, prefix: String, exclude: bool },
}

fn read_matcher<'a, 'm, I: LabelIndex>(
    index: &'a I,
    matcher: &'m Matcher,
) -> Result<Condition<'a, 'm>> {
    let name = matcher.name.as_str();
    let one = |value: &str| -> Result<(Cow<'a, RoaringBitmap>, bool)> {
        if value.is_empty() {
            return Ok((index.having(name)?, true));
        }
        Ok((index.pair(name, value)?, false))
    };
    // (set, complemented): `in` means set ^ complemented.
    let (set, complemented) = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => one(&matcher.value)?,
        MatchOp::Regex | MatchOp::NotRegex => match Pattern::read(&matcher.value) {
            Pattern::Anything => (Cow::Owned(RoaringBitmap::new()), true),
            Pattern::NotEmpty => (index.having(name)?, false),
            Pattern::Literals(all) if all.len() == 1 => one(all.first().map_or("", |v| v))?,
            Pattern::Literals(all) if all.iter().all(|value| !value.is_empty()) => {
                let mut sum = RoaringBitmap::new();
                for value in &all {
                    sum |= index.pair(name, value)?.as_ref();
                }
                (Cow::Owned(sum), false)
            }
            Pattern::StartsWith(prefix) if !prefix.is_empty() => {
                (Cow::Owned(index.union_where(name, &prefix, &mut |_| true)?), false)
            }
            Pattern::Prefix(prefix) => return Ok(walk(matcher, prefix)),
            Pattern::Literals(_) | Pattern::StartsWith(_) => {
                return Ok(walk(matcher, String::new()));
            }
        },
    };
    let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
    Ok(if complemented == negated { Condition::In(set) } else { Condition::NotIn(set) })
}

fn walk<'a, 'm>(matcher: &'m Matcher, prefix: String) -> Condition<'a, 'm> {
    // The values to walk are those that match the expression (then the prefix helps) or those that do not.
    let exclude = matcher.matches_empty();
    let by_expression = (matcher.op == MatchOp::Regex) != exclude;
    let prefix = if by_expression { prefix } else { String::new() };
    Condition::Walk { matcher, prefix, exclude }
}

/// The entities or series that satisfy all of `matchers`, which are about that space, and belong to `entities`.
fn intersect<I: LabelIndex>(
    index: &I,
    space: Space,
    matchers: &[&Matcher],
    entities: Option<&RoaringBitmap>,
) -> Result<RoaringBitmap> {
    let (mut inside, mut outside, mut walks) = (Vec::new(), Vec::new(), Vec::new());
    for matcher in matchers {
        match read_matcher(index, matcher)? {
            Condition::In(set) if set.is_empty() => return Ok(RoaringBitmap::new()),
            Condition::In(set) => inside.push(set),
            Condition::NotIn(set) => outside.push(set),
            Condition::Walk { matcher, prefix, exclude } => walks.push((exclude, matcher, prefix)),
        }
    }
    inside.sort_by_key(|set| set.len());
    let mut found: Option<RoaringBitmap> = None;
    for set in inside {
        narrow(&mut found, set);
    }
    if let Some(entities) = entities {
        match &mut found {
            Some(found) if found.len() < entities.len().saturating_mul(8) => {
                keep_where(found, |ord| Ok(entities.contains(index.entity(ord)?)))?;
            }
            _ => narrow(&mut found, Cow::Owned(index.series_of(entities)?)),
        }
    }
    // The inclusive walks first: they make the set smaller.
    walks.sort_by_key(|walk| walk.0);
    for (exclude, matcher, prefix) in walks {
        if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
            break;
        }
        match &mut found {
            // Fewer series than values: ask each series for its value.
            Some(found)
                if space == Space::Series
                    && found.len() < index.n_values(&matcher.name)? as u64 / 4 =>
            {
                keep_where(found, |ord| Ok(matcher.matches(index.value_of(ord, &matcher.name)?)))?;
            }
            _ => {
                let mut accept = |value: &str| matcher.matches(value) != exclude;
                let set = Cow::Owned(index.union_where(&matcher.name, &prefix, &mut accept)?);
                if exclude { outside.push(set) } else { narrow(&mut found, set) }
            }
        }
    }
    let mut found = match (found, space) {
        (Some(found), _) => found,
        (None, Space::Series) => index.all()?,
        (None, Space::Entities) => index.all_entities()?,
    };
    for set in outside {
        found -= set.as_ref();
    }
    Ok(found)
}

fn narrow(found: &mut Option<RoaringBitmap>, set: Cow<'_, RoaringBitmap>) {
    match found {
        Some(found) => *found &= set.as_ref(),
        None => *found = Some(set.into_owned()),
    }
}

fn keep_where(found: &mut RoaringBitmap, keep: impl Fn(u32) -> Result<bool>) -> Result<()> {
    let mut kept = Vec::new();
    for ord in found.iter() {
        if keep(ord)? {
            kept.push(ord);
        }
    }
    *found = kept.into_iter().collect();
    Ok(())
}

/// Label names, of all series or of those in `within`, ascending.
pub(super) fn label_names<I: LabelIndex>(
    index: &I,
    within: Option<&RoaringBitmap>,
) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    match within {
        None => index.for_each_name(&mut |name| {
            names.insert(name.to_owned());
        })?,
        Some(within) => {
            // Names depend on entity and shape only.
            let (mut entities, mut shapes) = (RoaringBitmap::new(), RoaringBitmap::new());
            for ord in within {
                let new_entity = entities.insert(index.entity(ord)?);
                let new_shape = shapes.insert(index.shape(ord)?);
                if new_entity || new_shape {
                    index.for_each_name_of(ord, &mut |name| {
                        if !names.contains(name) {
                            names.insert(name.to_owned());
                        }
                    })?;
                }
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// Values of a label, of all series or of those in `within`, ascending.
pub(super) fn label_values<I: LabelIndex>(
    index: &I,
    name: &str,
    within: Option<&RoaringBitmap>,
) -> Result<Vec<String>> {
    let mut values = BTreeSet::new();
    match within {
        Some(within) if within.len() < index.n_values(name)? as u64 * 4 => {
            for ord in within {
                let value = index.value_of(ord, name)?;
                if !value.is_empty() && !values.contains(value) {
                    values.insert(value.to_owned());
                }
            }
        }
        _ => index.for_each_value(name, within, &mut |value, n| {
            if n > 0 {
                values.insert(value.to_owned());
            }
        })?,
    }
    Ok(values.into_iter().collect())
}

/// How many series, values and bytes labels account for: the lists of `/api/v1/status/tsdb`, each
/// descending by count, then ascending by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series of each metric name.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values of each label name.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes that the values of each label name would take, written out for every series.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series of each pair, written `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
    /// Number of different pairs.
    pub label_pairs: u64,
}

/// Counts everything and keeps the `limit` largest of each list.
pub(super) fn cardinality<I: LabelIndex>(index: &I, limit: usize) -> Result<Cardinality> {
    let mut names = Vec::new();
    index.for_each_name(&mut |name| names.push(name.to_owned()))?;
    let top = || Top::<u64, String>::new(limit);
    let (mut metrics, mut values, mut bytes, mut pairs) = (top(), top(), top(), top());
    let mut label_pairs = 0;
    for name in names {
        let (mut n_values, mut n_bytes) = (0, 0);
        index.for_each_value(&name, None, &mut |value, series| {
            n_values += 1;
            n_bytes += value.len() as u64 * series;
            let precedes = |pair: &String| {
                let bytes = name.bytes().chain(*b"=").chain(value.bytes());
                bytes.lt(pair.bytes())
            };
            pairs.offer_if(series, precedes, || format!("{name}={value}"));
            if name == crate::model::METRIC_NAME {
                metrics.offer_if(series, |have| value < have.as_str(), || value.to_owned());
            }
        })?;
        label_pairs += n_values;
        values.offer(n_values, || name.clone());
        bytes.offer(n_bytes, || name.clone());
    }
    let list =
        |top: Top<u64, String>| top.into_sorted().map(|(count, text)| (text, count)).collect();
    Ok(Cardinality {
        series_by_metric: list(metrics),
        values_by_label: list(values),
        bytes_by_label: list(bytes),
        series_by_pair: list(pairs),
        label_pairs,
    })
}
