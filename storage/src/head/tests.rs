//! What the head keeps count of, and what a replay makes of damaged logs.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::definitions::DefinitionEncoder;
use super::sample_record::{LoggedSample, SampleEncoder};
use super::*;
use crate::disk::sim::SimRng;
use crate::model::{MatchOp, SeriesData};

fn head() -> Head {
    Head::new(HeadOptions {
        target_labels: vec!["job".to_owned()],
        future_max_ms: 0,
        series_max: 100,
        exemplars_max: 10,
    })
}

fn define(replayer: &mut Replayer<'_>, reference: u64) {
    let (name, job) = (format!("m{reference}"), format!("j{}", reference % 3));
    let labels = Labels::from_pairs([("__name__", name.as_str()), ("job", job.as_str())]);
    let mut index = MemIndex::new(&["job".to_owned()]);
    let (ord, _) = index.insert(&labels).unwrap();
    let mut encoder = DefinitionEncoder::default();
    encoder.push(&index, ord, SeriesRef(reference));
    replayer.apply(records::SERIES, encoder.take().unwrap()).unwrap();
}

fn sample(replayer: &mut Replayer<'_>, reference: u64, ts: i64, bits: u64) {
    let mut encoder = SampleEncoder::default();
    encoder.begin(false);
    encoder.push(LoggedSample { reference: SeriesRef(reference), ts, bits, start_ts: 0 });
    replayer.apply(encoder.kind(), encoder.finish()).unwrap();
}

/// Chunks and bytes of loose samples: the sums that are kept, and the same counted anew.
fn usages(head: &Head) -> [(usize, usize); 2] {
    let (mut kept, mut counted) = ((0, 0), (0, 0));
    for shard in &head.shards {
        let shard = shard.lock();
        kept = (kept.0 + shard.chunks.n_chunks(), kept.1 + shard.chunks.loose_bytes());
        for series in shard.series.iter() {
            let usage = series.usage(&shard.chunks);
            counted = (counted.0 + usage.0, counted.1 + usage.1);
        }
    }
    [kept, counted]
}

#[test]
fn the_size_is_kept_up_to_date() {
    for seed in 0..30 {
        let mut rng = SimRng::new(seed);
        let head = head();
        let mut replayer = Replayer::new(&head);
        (1..7).for_each(|reference| define(&mut replayer, reference));
        let mut clock = 0;
        for step in 0..1000 {
            clock += 10;
            let reference = 1 + rng.below(6);
            match rng.below(200) {
                0 => assert!(head.parts().iter().filter(|part| head.freeze(part)).count() <= 1),
                1 => head.parts().iter().for_each(|part| head.drop_frozen(part)),
                2 => {
                    let mut payload = Vec::new();
                    let range = TimeRange::new(clock - 2000, clock - rng.below(1500) as i64);
                    records::put_deletion(&mut payload, range, &[SeriesRef(reference)]);
                    replayer.apply(records::DELETION, &payload).unwrap();
                }
                3..20 => sample(&mut replayer, reference, clock - rng.below(3000) as i64, 7),
                _ => sample(&mut replayer, reference, clock, rng.below(1000)),
            }
            let [kept, counted] = usages(&head);
            assert_eq!(kept, counted, "seed {seed} step {step}");
        }
        for part in head.parts() {
            head.freeze(&part);
            head.drop_frozen(&part);
        }
        assert_eq!(usages(&head), [(0, 0); 2], "seed {seed}");
    }
}

#[test]
fn the_number_of_a_lost_series_is_not_given_again() {
    let head = head();
    let mut replayer = Replayer::new(&head);
    define(&mut replayer, 3);
    sample(&mut replayer, 17, 1000, 1);
    assert_eq!(replayer.orphans(), 1);
    assert_eq!(head.registry.read().next_reference, 18);
}

#[test]
fn what_a_checkpoint_holds_is_cut_into_records() {
    let head = Head::new(HeadOptions { exemplars_max: 20_000, ..head().options });
    let mut replayer = Replayer::new(&head);
    define(&mut replayer, 1);
    let labels = Labels::from_pairs([("trace_id", "0123456789abcdef0123456789abcdef")]);
    for ts in 0..20_000 {
        let exemplar = Exemplar { labels: labels.clone(), value: 1.0, ts };
        assert!(head.exemplars.lock().push(0, exemplar));
    }
    let (mut n, mut longest) = (0, 0);
    head.checkpoint(&mut |kind, payload| {
        if kind == RecordKind(records::EXEMPLARS) {
            records::decode_exemplars(payload, |_, _| n += 1).unwrap();
        }
        longest = longest.max(payload.len());
        Ok(())
    })
    .unwrap();
    assert_eq!(n, 20_000);
    assert!(longest < 300_000, "{longest}");
}

/// All samples of all series.
fn samples(head: &Head) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let all = Matcher::new("job", MatchOp::Regex, ".+").unwrap();
    let found = head.select(&[all], TimeRange::ALL, false, &mut |_, _| Ok(())).unwrap();
    let mut found: Vec<_> = found
        .iter()
        .map(|selected| {
            let mut data = SeriesData::default();
            selected.view.read(TimeRange::ALL, &mut data).unwrap();
            let bits = data.values.iter().map(|value| value.to_bits());
            (selected.labels.clone(), data.ts.iter().copied().zip(bits).collect())
        })
        .collect();
    found.sort();
    found
}

/// Threads that take turns at the shards do what one does.
#[test]
fn a_replay_by_many_threads_is_that_by_one() {
    for seed in 0..20 {
        let (alone, crowded) = (head(), head());
        let run = |mut replayer: Replayer<'_>| {
            let mut rng = SimRng::new(seed);
            let mut clock = 1000;
            for step in 0..400 {
                if step % 20 == 0 {
                    define(&mut replayer, 1 + step / 20);
                }
                clock += 10;
                let mut encoder = SampleEncoder::default();
                encoder.begin(false);
                for reference in 1..=1 + step / 20 {
                    let ts = clock - [0, 0, 0, 25][rng.below(4) as usize];
                    let bits = rng.below(3);
                    let reference = SeriesRef(reference);
                    encoder.push(LoggedSample { reference, ts, bits, start_ts: 0 });
                }
                replayer.apply(encoder.kind(), encoder.finish()).unwrap();
                if rng.below(40) == 0 {
                    let mut deletion = Vec::new();
                    let range = TimeRange::new(clock - 60, clock);
                    records::put_deletion(&mut deletion, range, &[SeriesRef(1 + rng.below(9))]);
                    replayer.apply(records::DELETION, &deletion).unwrap();
                }
            }
            replayer.finish();
        };
        run(Replayer::new(&alone));
        std::thread::scope(|scope| run(Replayer::crowded(&crowded, scope)));
        assert_eq!(samples(&alone), samples(&crowded), "seed {seed}");
        assert!(samples(&alone).len() > 10);
    }
}
