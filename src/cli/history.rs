//! `nines history`: rolls up and inspects the Parquet history of a data directory that no server uses.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use nines_storage::history::{Day, History, Part, State, Tier, TierSize};
use nines_storage::{Db, Histories, ReplayProgress, RolledDay};

use super::{HistoryArgs, HistoryCommand, HistoryCompactArgs, USAGE};
use super::{fail, finish, in_use, load, open_store_to_roll, print_line};
use crate::clock::now_ms;
use crate::config::Config;
use crate::http::time::parse_time;
use crate::telemetry::init_logging;

/// Runs one of the commands.
pub(super) fn run(command: HistoryCommand) -> ExitCode {
    let (args, now) = match &command {
        HistoryCommand::Compact(HistoryCompactArgs { common, now, .. }) => (common, now.as_deref()),
        HistoryCommand::Stats(args)
        | HistoryCommand::Ls(args)
        | HistoryCommand::Verify(args)
        | HistoryCommand::Publish(args) => (args, None),
    };
    let now_ms = match now.map(parse_time).transpose() {
        Ok(now) => now.unwrap_or_else(now_ms),
        Err(error) => return fail(USAGE, &anyhow::anyhow!("--now: {error}")),
    };
    let mut config = match settings(args) {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    finish(match command {
        HistoryCommand::Compact(args) => {
            args.inputs.set(&mut config);
            compact(&config, now_ms, args.rebuild)
        }
        HistoryCommand::Stats(_) => each(&config, &mut stats),
        HistoryCommand::Ls(_) => each(&config, &mut list),
        HistoryCommand::Verify(_) => verify(&config),
        HistoryCommand::Publish(_) => publish(&config, now_ms),
    })
}

fn settings(args: &HistoryArgs) -> anyhow::Result<Config> {
    let mut config = load(args.config.as_ref())?;
    config.data.clone_from(&args.data);
    if args.history_url.is_some() {
        config.history.url.clone_from(&args.history_url);
    }
    Ok(config)
}

fn check_dir(dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        dir.join("tenants").is_dir(),
        "{} is not a data directory of nines: name one with --data",
        dir.display()
    );
    Ok(())
}

fn compact(config: &Config, now_ms: i64, rebuild: bool) -> anyhow::Result<()> {
    check_dir(&config.data)?;
    init_logging(&config.log);
    let store = open_store_to_roll(config, &|_: ReplayProgress| {})?;
    let mut left_out = 0;
    for (tenant, db) in store.tenants() {
        if rebuild {
            db.history()?.outdate_all()?;
        }
        left_out += roll_up(&tenant, &db, now_ms)?;
    }
    store.close().context("cannot close the store")?;
    anyhow::ensure!(left_out == 0, "{left_out} days were left out, see above");
    Ok(())
}

/// Rolls up the days of a tenant that are due, telling of each. Answers how many were left out because of damage.
pub(super) fn roll_up(tenant: &str, db: &Db, now_ms: i64) -> anyhow::Result<usize> {
    let mut total = Total::default();
    let mut begun = |day, left| {
        print_line(&format!("{tenant}: rolling up {day}, {left} days left"));
    };
    db.roll_all_telling(now_ms, &mut begun, &mut |rolled| total.add(rolled))
        .with_context(|| format!("cannot roll up tenant {tenant}"))?;
    print_line(&format!("{tenant}: {}", total.told()));
    let left_out = db.days_not_rolled_up();
    for day in &left_out {
        print_line(&format!("{tenant}: {day} is left out, a block is damaged"));
    }
    Ok(left_out.len())
}

/// What was rolled up.
#[derive(Default)]
struct Total {
    days: u64,
    samples: u64,
    size: [TierSize; Tier::ALL.len()],
    took: Duration,
}

impl Total {
    fn add(&mut self, rolled: &RolledDay) {
        self.days += 1;
        self.samples += rolled.samples;
        self.took += rolled.took;
        for (tier, size) in Tier::ALL.iter().zip(&mut self.size) {
            for file in rolled.files.iter().filter(|file| file.tier == *tier) {
                size.files += 1;
                size.rows += file.rows;
                size.bytes += file.bytes;
            }
        }
    }

    fn told(&self) -> String {
        let tiers = Tier::ALL.iter().zip(&self.size).map(|(tier, size)| {
            format!("{tier}: {} rows in {} files of {} bytes", size.rows, size.files, size.bytes)
        });
        format!(
            "{} days rolled up in {:.1} s from {} samples read; {}",
            self.days,
            self.took.as_secs_f64(),
            self.samples,
            tiers.collect::<Vec<_>>().join("; ")
        )
    }
}

/// Shows the histories of all tenants, one after the other.
fn each(
    config: &Config,
    show: &mut dyn FnMut(&str, &History) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    check_dir(&config.data)?;
    init_logging(&config.log);
    let objects = crate::objects::open(&config.history)?;
    let histories = Histories::open(&config.data, objects.as_ref())
        .map_err(|error| in_use(error, &config.data))?;
    let mut answer = Ok(());
    for (tenant, history) in histories.iter() {
        let shown = match history {
            Ok(history) => show(tenant, history),
            Err(error) => Err(anyhow::anyhow!("{error}")),
        };
        if let Err(error) = shown {
            print_line(&format!("{tenant}: {error:#}"));
            answer = Err(anyhow::anyhow!("not everything is right, see above"));
        }
    }
    answer
}

fn stats(tenant: &str, history: &History) -> anyhow::Result<()> {
    let state = history.state();
    let outdated =
        state.days.iter().filter(|(day, built)| built.outdated && state.has_raw(Day(**day)));
    let outdated = outdated.count();
    let (first, last) = (state.days.keys().next(), state.days.keys().next_back());
    let of = |day: Option<&i64>| day.map_or_else(|| "-".to_owned(), |day| Day(*day).to_string());
    print_line(&format!(
        "{tenant}: {} days, {} to {}, {outdated} to be built anew; commit {}",
        state.days.len(),
        of(first),
        of(last),
        state.number
    ));
    for cost in state.costs() {
        let (tier, size) = (cost.tier, cost.size);
        let (per_row, year) = (cost.bytes_per_row(), cost.bytes_per_year as f64);
        print_line(&format!(
            "{tenant}: {tier}: {} rows in {} files, {} bytes, {per_row:.2} each; a year at today's rate: {:.1} MB",
            size.rows,
            size.files,
            size.bytes,
            year / 1e6
        ));
        for (what, months) in [("file", false), ("month", true)] {
            let of = |part: Part| matches!(part, Part::Month(_)) == months;
            if let Some(columns) = columns(history, &state, tier, of)? {
                print_line(&format!(
                    "{tenant}: {tier}: bytes per row of the newest {what}: {columns}"
                ));
            }
        }
    }
    Ok(())
}

/// What the columns of the newest of these files take per row, the largest first.
fn columns(
    history: &History,
    state: &State,
    tier: Tier,
    of: impl Fn(Part) -> bool,
) -> anyhow::Result<Option<String>> {
    let mut files: Vec<_> = state.files().collect();
    files.retain(|(part, _, file)| file.tier == tier && of(*part));
    if let Some((part, revision, file)) = files.pop() {
        let mut columns = history.read_part(part, revision, file)?.column_bytes();
        columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let per_row = |bytes: u64| bytes as f64 / file.rows.max(1) as f64;
        let told: Vec<String> = columns
            .iter()
            .filter(|(_, bytes)| per_row(*bytes) >= 0.05)
            .map(|(name, bytes)| format!("{name} {:.2}", per_row(*bytes)))
            .collect();
        return Ok(Some(told.join(", ")));
    }
    Ok(None)
}

fn list(tenant: &str, history: &History) -> anyhow::Result<()> {
    let state = history.state();
    for (part, revision, file) in state.files() {
        let (first, last) = match part {
            Part::Day(day) => (day, day),
            Part::Month(month) => (month.first(), month.last()),
        };
        let outdated = state.days.range(first.0..=last.0).filter(|(_, built)| built.outdated);
        let outdated = match (part, outdated.count()) {
            (_, 0) => String::new(),
            (Part::Day(_), _) => ", outdated".to_owned(),
            (Part::Month(_), n) => format!(", {n} of its days outdated"),
        };
        print_line(&format!(
            "{tenant}/history/{}: revision {revision}, {} rows, {} series, {} bytes{outdated}",
            file.path(part).display(),
            file.rows,
            file.series,
            file.bytes
        ));
    }
    Ok(())
}

fn verify(config: &Config) -> anyhow::Result<()> {
    each(config, &mut |tenant, history| {
        let (mut files, mut rows, mut wrong) = (0u64, 0u64, 0u64);
        history.verify(&mut |verified| match verified.rows {
            Ok(n) => {
                files += 1;
                rows += n;
            }
            Err(error) => {
                wrong += 1;
                let error = anyhow::Error::new(error);
                print_line(&format!("{tenant}: {}: {error:#}", verified.path.display()));
            }
        });
        print_line(&format!("{tenant}: {files} files with {rows} rows are as they were written"));
        anyhow::ensure!(wrong == 0, "{wrong} files are damaged or missing");
        Ok(())
    })
}

fn publish(config: &Config, now_ms: i64) -> anyhow::Result<()> {
    let Some(url) = &config.history.url else {
        anyhow::bail!("name the object store with --history.url or history.url in the config file");
    };
    each(config, &mut |tenant, history| {
        let (mut files, mut bytes) = (0, 0);
        loop {
            let done = history.publish(now_ms, &mut || Ok(())).map_err(anyhow::Error::new)?;
            files += done.files;
            bytes += done.bytes;
            let Some(stats) = history.remote_stats().filter(|stats| stats.behind_commits > 0)
            else {
                break;
            };
            tracing::info!(commits = stats.behind_commits, "more has come meanwhile");
        }
        let number = history.state().number;
        print_line(&format!(
            "{tenant}: {url} holds commit {number}; {files} files of {bytes} bytes written"
        ));
        Ok(())
    })
}
