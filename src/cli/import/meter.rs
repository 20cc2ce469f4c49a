//! How far an import is: a line that is written over on a terminal, else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Time between two lines, and between two states of the one on a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const BAR_CHARS: usize = 30;
/// Things after which the clock is looked at.
const STRIDE: u64 = 16_384;

/// See the module.
pub(super) struct Meter {
    what: &'static str,
    total: u64,
    done: u64,
    /// Of these, what needed no work.
    skipped: u64,
    since_look: u64,
    begun: Instant,
    told: Instant,
    on_terminal: bool,
    shown: bool,
}

impl Meter {
    /// `total` may be 0 or wrong: it is what sources say.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let (begun, told) = (Instant::now(), Instant::now());
        Self {
            what,
            total,
            done: 0,
            skipped: 0,
            since_look: 0,
            begun,
            told,
            on_terminal,
            shown: false,
        }
    }

    /// Counts `n` things.
    pub(super) fn add(&mut self, n: u64) {
        self.done += n;
        self.since_look += n + 1;
        if self.since_look < STRIDE {
            return;
        }
        self.since_look = 0;
        let interval = if self.on_terminal { BAR_INTERVAL } else { LINE_INTERVAL };
        if self.told.elapsed() >= interval {
            self.told = Instant::now();
            self.show();
        }
    }

    /// Counts `n` things that were done before.
    pub(super) fn skip(&mut self, n: u64) {
        self.done += n;
        self.skipped += n;
    }

    fn show(&mut self) {
        let text = line(self.what, self.done, self.total, self.skipped, self.begun.elapsed());
        let mut out = std::io::stderr().lock();
        // Nothing more can be said when stderr is closed.
        let _ = if self.on_terminal {
            self.shown = true;
            let filled =
                self.done as usize * BAR_CHARS / (self.total.max(self.done).max(1) as usize);
            write!(out, "\r[{:<BAR_CHARS$}]{text}\x1b[K", "#".repeat(filled))
        } else {
            writeln!(out, "{text}")
        };
    }

    /// Removes the line from a terminal, before another one is written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: u64, total: u64, skipped: u64, took: Duration) -> String {
    let rate = (done - skipped) as f64 / took.as_secs_f64().max(0.001);
    let mut text = format!("  {done} {what}, {rate:.0} a second");
    if total >= done && total > 0 {
        let left = (total - done) as f64 / rate.max(1.0);
        let percent = done as f64 * 100.0 / total as f64;
        text.push_str(&format!(", {percent:.1}%, {left:.0} s left"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_rest() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("samples", 500, 2000, 100, ten),
            "  500 samples, 40 a second, 25.0%, 38 s left"
        );
        assert_eq!(line("samples", 500, 0, 0, ten), "  500 samples, 50 a second");
        assert_eq!(line("samples", 500, 400, 0, ten), "  500 samples, 50 a second");
    }
}
