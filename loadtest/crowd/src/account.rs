//! What a thread or a process has cost the processor so far.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::Duration;

/// The calling thread's own time, kernel included.
#[must_use]
pub fn this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Keeps the calling thread on one core, where there are several.
///
/// # Errors
/// When the kernel refuses.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core % cores());
    sched_setaffinity(None, &set).with_context(|| format!("cannot stay on core {core}"))
}

/// All there are, also those that this thread keeps off.
fn cores() -> usize {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpu.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// The time of this process's thread of that name.
///
/// # Errors
/// When there is none.
pub fn thread_named(name: &str) -> Result<Duration> {
    for task in std::fs::read_dir("/proc/self/task").context("no /proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            return on_cpu(&task);
        }
    }
    anyhow::bail!("no thread is named {name}")
}

/// The time of all threads of these processes that live now. Threads that ended between two readings are missed: the
/// servers measured keep theirs.
///
/// # Errors
/// When one of them is gone.
pub fn processes(pids: &[u32]) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(&tasks).with_context(|| format!("process {pid} is gone"))? {
            // A thread may end while the list is read.
            sum += on_cpu(&task?.path()).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// First number of `schedstat`: nanoseconds on a processor.
fn on_cpu(task: &Path) -> Result<Duration> {
    let text = std::fs::read_to_string(task.join("schedstat"))?;
    let first = text.split(' ').next().and_then(|number| number.parse().ok());
    Ok(Duration::from_nanos(first.context("schedstat does not begin with a number")?))
}

/// The machine in one line: load and processor, for whoever reads the figures later.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cores();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{model}, {cores} virtual CPUs, Linux {}, load {load}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_found_by_its_name_and_costs_time() {
        let (ready, wait) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let busy = std::thread::Builder::new().name("busy-for-test".into()).spawn(move || {
            let began = this_thread();
            while this_thread() - began < Duration::from_millis(20) {}
            ready.send(()).unwrap();
            let _ = stopped.recv();
        });
        wait.recv().unwrap();
        assert!(thread_named("busy-for-test").unwrap() >= Duration::from_millis(10));
        assert!(processes(&[std::process::id()]).unwrap() >= Duration::from_millis(10));
        drop(stop);
        busy.unwrap().join().unwrap();
        assert!(thread_named("nobody").is_err());
    }
}
