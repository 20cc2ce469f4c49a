//! How much memory this process may use: the machine's, or less when it runs in a control group. Limits
//! that are not set are shares of it.

use std::fs::read_to_string;
use std::path::Path;
use std::sync::LazyLock;

/// Taken where nothing says how much memory there is.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// Bytes of memory that this process may use. Looked up once.
pub(crate) fn usable_bytes() -> u64 {
    static BYTES: LazyLock<u64> = LazyLock::new(|| {
        let machine = read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
        let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = group_bytes(&groups, &|file| read_to_string(file).ok());
        [machine, group].into_iter().flatten().min().unwrap_or(UNKNOWN_BYTES)
    });
    *BYTES
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit of the groups named in `/proc/self/cgroup` and of those around them, in both versions
/// of control groups. Inside a container the own group may be mounted as the root.
fn group_bytes(groups: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let own = Path::new(path.trim_start_matches('/'));
        for group in own.ancestors() {
            let limit = read(&Path::new(mount).join(group).join(file));
            // "max", when there is none.
            limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().filter(|limit| *limit > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_kibibytes() {
        let text = "MemFree: 7 kB\nMemTotal:       24689764 kB\n";
        assert_eq!(machine_bytes(text), Some(24_689_764 * 1024));
        assert_eq!(machine_bytes("MemFree: 7 kB\n"), None);
    }

    #[test]
    fn the_tightest_group_counts() {
        let read = |file: &Path| {
            let text = match file.to_str()? {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "3000\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => "2000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes" => "9223372036854771712\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(group_bytes("0::/a/b\n", &read), Some(3000));
        assert_eq!(group_bytes("5:cpu:/x\n4:memory:/x\n0::/a/b\n", &read), Some(2000));
        assert_eq!(group_bytes("5:cpu:/x\n0::/none\n", &read), None);
    }
}
