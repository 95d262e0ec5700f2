//! What Linux tells of the CPU and of this process; nothing elsewhere.

/// Name of the CPU's model.
pub fn cpu_name() -> Option<String> {
    field(&std::fs::read_to_string("/proc/cpuinfo").ok()?, "model name").map(str::to_owned)
}

/// The most memory that this process has held so far: its peak resident set, mapped files included.
pub fn peak_memory_bytes() -> Option<u64> {
    kib(field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM")?)
}

/// What stands behind `name:` in the first line that has it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim())
}

/// `123 kB` in bytes.
fn kib(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: A CPU: fast\n\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(field(cpuinfo, "model name"), Some("A CPU: fast"));
        assert_eq!(field("Processor\t: AArch64\n", "model name"), None);
    }

    #[test]
    fn sizes_are_in_kib() {
        let status = "Name:\ttopicwire\nVmPeak:\t  900 kB\nVmHWM:\t  123 kB\n";
        assert_eq!(field(status, "VmHWM").and_then(kib), Some(123 * 1024));
        assert_eq!((kib("12"), kib("many kB")), (None, None));
    }
}
