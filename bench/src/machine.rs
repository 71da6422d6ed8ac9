//! The machine: its description, the core that everything measured runs on, and the processor time of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// The processor, the number of cores, the kernel and the date, in one line.
pub(crate) fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("this runs on Linux only: it reads /proc")?;
    let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's version")?;
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    Ok(format!("{date}; {model}, {cores} cores; Linux {}", kernel.trim()))
}

/// The instruction sets that libraries choose their code by.
const FEATURES: [&str; 12] =
    ["adx", "aes", "avx", "avx2", "avx512f", "bmi2", "erms", "fsrm", "pclmulqdq", "sha_ni", "vaes", "vpclmulqdq"];

/// The maker of the processor, which of [`FEATURES`] it has, and how many cores there are: the gateway has threads for them.
pub(crate) fn processor() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("this runs on Linux only: it reads /proc")?;
    let value = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or("unknown", |(_, value)| value.trim())
    };
    let flags: Vec<_> = value("flags").split_ascii_whitespace().collect();
    let features = FEATURES.into_iter().filter(|feature| flags.contains(feature));
    let described = [value("vendor_id")].into_iter().chain(features).collect::<Vec<_>>().join(" ");
    Ok(format!("{described}, {} cores", std::thread::available_parallelism()?))
}

/// Pins this thread, and what it starts from now on, to the last core that it may use; the first serves most
/// interrupts. Returns the core's number.
pub(crate) fn pin() -> Result<usize> {
    let core = cores()?.pop().context("no core may be used")?;
    pin_to(core)?;
    Ok(core)
}

/// The cores that this thread may use.
#[cfg(target_os = "linux")]
pub(crate) fn cores() -> Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// Pins this thread, and what it starts from now on, to `core`.
#[cfg(target_os = "linux")]
pub(crate) fn pin_to(core: usize) -> Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).context("pin this thread to one core")
}

/// Pins all threads of `process` to `core`.
#[cfg(target_os = "linux")]
pub(crate) fn pin_process(process: u32, core: usize) -> Result<()> {
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut only = CpuSet::new();
    only.set(core);
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("list the threads")? {
        let thread = thread?.file_name().to_string_lossy().parse::<i32>()?;
        sched_setaffinity(Pid::from_raw(thread), &only).context("pin a thread to one core")?;
    }
    Ok(())
}

/// See the one for Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_process(_process: u32, _core: usize) -> Result<()> {
    anyhow::bail!("threads are pinned to a core on Linux only")
}

/// See the one for Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_to(_core: usize) -> Result<()> {
    anyhow::bail!("threads are pinned to a core on Linux only")
}

/// See the one for Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cores() -> Result<Vec<usize>> {
    anyhow::bail!("threads are pinned to a core on Linux only")
}

/// The processor time, user and system, that all threads of `processes` have used, ended ones too.
pub(crate) fn processor_time(processes: &[u32]) -> Result<Duration> {
    let mut sum = 0;
    for process in processes {
        let path = format!("/proc/{process}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        sum += ticks(&stat).with_context(|| format!("{path} has no processor times"))?;
    }
    Ok(Duration::from_nanos(sum * 1_000_000_000 / clock_ticks_per_second()))
}

/// The fields utime and stime of `/proc/PID/stat` (`proc_pid_stat(5)`), in clock ticks.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may itself have blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let (user, system) = (times.next()?.parse::<u64>().ok()?, times.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What is resident now.
    pub(crate) resident: u64,
    /// The most that was.
    pub(crate) most: u64,
}

/// The memory of `process`.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    resident(&status).with_context(|| format!("{path} has no sizes"))
}

/// The fields `VmRSS` and `VmHWM` of `/proc/PID/status` (`proc_pid_status(5)`).
fn resident(status: &str) -> Option<Memory> {
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    };
    Some(Memory { resident: bytes("VmRSS")?, most: bytes("VmHWM")? })
}

/// The processes that `process` started, directly and from its first thread.
pub(crate) fn children(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    children.split_ascii_whitespace().map(|child| child.parse().context("a process id")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_time_whatever_the_program_is_called() {
        let stat = "42 (a) b 9) S 1 42 42 0 -1 4194560 1 2 3 4 700 55 6 7 20 0 3 0 100 0 0";
        assert_eq!(ticks(stat), Some(755));
        assert_eq!(ticks("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_what_is_resident_and_the_most_that_was() {
        let status = "Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t    7 kB\n";
        assert_eq!(resident(status), Some(Memory { resident: 7 << 10, most: 9 << 10 }));
        assert_eq!(resident("Name:\tVmRSS"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_has_worked_has_used_processor_time() {
        let began = std::time::Instant::now();
        let mut used = Duration::ZERO;
        while used.is_zero() && began.elapsed() < Duration::from_mins(1) {
            used = processor_time(&[std::process::id()]).unwrap_or_default();
        }
        assert!(!used.is_zero());
    }
}
