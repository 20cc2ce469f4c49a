//! What the operating system knows about this process, from `/proc`.

/// A look at the process. Numbers that cannot be read are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Open files.
    pub open_fds: u64,
    /// Limit of open files.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
}

/// Linux counts in units of 1/100 s towards user space (`USER_HZ`), whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;
/// `stat` counts resident memory in pages; `status` says it in KiB, which needs no page size.
const KIB: u64 = 1024;

impl Process {
    /// Reads `/proc/self`.
    #[must_use]
    pub fn now() -> Self {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let status = read("status");
        let field = |key| status_field(&status, key);
        let max_fds = read("limits").lines().find_map(|line| {
            line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok()
        });
        Self {
            cpu_seconds: cpu_seconds(&read("stat")),
            resident_bytes: field("VmRSS") * KIB,
            virtual_bytes: field("VmSize") * KIB,
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64),
            max_fds: max_fds.unwrap_or_default(),
            threads: field("Threads"),
        }
    }

    /// Memory that is not a copy of a file, in bytes.
    #[must_use]
    pub fn anonymous_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status_field(&status, "RssAnon") * KIB
    }
}

/// A number of `status`.
fn status_field(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Fields 14 and 15 of `stat`, counted behind the command's closing parenthesis (field 2).
#[allow(clippy::cast_precision_loss, reason = "shown only")]
fn cpu_seconds(stat: &str) -> f64 {
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// The machine's name.
#[must_use]
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_time_behind_a_strange_command_name() {
        let stat = "1 (a) b) S 2 3 4 5 6 7 8 9 10 11 150 50 0 0";
        assert_eq!(cpu_seconds(stat), 2.0);
        assert_eq!(cpu_seconds(""), 0.0);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let process = Process::now();
        assert!(process.resident_bytes > 100_000 && process.resident_bytes < process.virtual_bytes);
        assert!(
            process.threads >= 1 && process.open_fds >= 3 && process.max_fds >= process.open_fds
        );
    }
}
