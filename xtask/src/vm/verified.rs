//! How much each program cost the verifier of each kernel.

use std::collections::BTreeMap;
use std::fmt;

/// Instructions that the verifier went through, by program, as `live_probes` tells them.
#[derive(Debug, Default)]
pub struct Verified {
    kernels: Vec<String>,
    programs: BTreeMap<String, BTreeMap<String, String>>,
}

impl Verified {
    /// Takes a line of a guest's console: `measured: observer_in 26103 instructions verified, 15004 bytes`.
    pub fn read(&mut self, kernel: &str, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("measured: ") else { return };
        let Some((words, _)) = rest.split_once(" instructions verified") else { return };
        let mut words = words.split_whitespace();
        let (Some(program), Some(count), None) = (words.next(), words.next(), words.next()) else { return };
        if !self.kernels.iter().any(|known| known == kernel) {
            self.kernels.push(kernel.into());
        }
        self.programs.entry(program.into()).or_default().insert(kernel.into(), count.into());
    }
}

/// A table, or nothing if nothing was told. Kernels before 5.16 do not tell.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.programs.is_empty() {
            return Ok(());
        }
        write!(f, "{:<24}", "verified instructions")?;
        for kernel in &self.kernels {
            write!(f, "{kernel:>9}")?;
        }
        writeln!(f)?;
        let mut untold = false;
        for (program, counts) in &self.programs {
            write!(f, "{program:<24}")?;
            for kernel in &self.kernels {
                let count = counts.get(kernel).map_or("", String::as_str);
                untold |= count == "unknown";
                write!(f, "{count:>9}")?;
            }
            writeln!(f)?;
        }
        if untold {
            writeln!(f, "unknown: the kernel tells since 5.16")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_program_and_a_column_for_each_kernel() {
        let mut verified = Verified::default();
        for (kernel, line) in [
            ("5.10", "measured: observer_in      unknown instructions verified,  15004 bytes"),
            ("6.1", "measured: observer_in        26103 instructions verified,  15004 bytes"),
            ("6.1", "measured: observer_gone       1103 instructions verified,   2004 bytes"),
            ("6.1", "measured: 3 TLS connections"),
        ] {
            verified.read(kernel, line);
        }
        assert_eq!(
            verified.to_string(),
            "verified instructions        5.10      6.1\n\
             observer_gone                         1103\n\
             observer_in               unknown    26103\n\
             unknown: the kernel tells since 5.16\n"
        );
        assert_eq!(Verified::default().to_string(), "");
    }
}
