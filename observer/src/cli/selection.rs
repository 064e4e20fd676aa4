//! What an operator selects: ports and programs, with the control plane's own as a starting point.

use core::str::FromStr;

use super::port_range::PortRange;

/// Where components of a control plane listen: API server, etcd, kubelet, kube-proxy, controller manager, scheduler,
/// konnectivity, by their defaults. The legacy plain ports are among them: who uses them wants to know.
const PORTS: [PortRange; 12] = {
    const fn range(first: u16) -> PortRange {
        PortRange::one(first)
    }
    [
        range(443),
        range(6443),
        range(2379),
        range(2380),
        range(2381),
        range(8090),
        range(8091),
        range(8131),
        range(8132),
        range(8133),
        range(8134),
        range(9345),
    ]
};

/// More of them, in one run: kubelet 10248, 10250, 10255; kube-proxy 10249, 10256; controller managers 10252, 10257,
/// 10258; scheduler 10251, 10259.
const COMPONENTS: (u16, u16) = (10_248, 10_259);

/// Programs of a control plane, by the name of the executable.
const PROCESSES: [&str; 11] = [
    "kube-apiserver",
    "hyperkube",
    "k3s",
    "k3s-server",
    "rke2",
    "k0s",
    "kubelite",
    "microk8s",
    "proxy-agent",
    "proxy-server",
    "konnectivity",
];

/// One value of `--port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<PortRange>);

/// One value of `--process`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processes(Vec<String>);

impl Ports {
    /// All that `typed` selects; the control plane's own if that is nothing.
    pub(super) fn resolve(typed: &[Self]) -> Vec<PortRange> {
        if typed.is_empty() {
            return default_ports();
        }
        let mut ports: Vec<PortRange> = typed.iter().flat_map(|ports| ports.0.iter().copied()).collect();
        ports.sort_by_key(|range| (*range.ports().start(), *range.ports().end()));
        ports.dedup();
        ports
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ports = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item {
                "none" => {}
                "default" => ports.extend(default_ports()),
                item => ports.push(item.parse().map_err(|error| {
                    format!("{error}; write numbers and ranges like 6443,30000-32767, `default` or `none`")
                })?),
            }
        }
        Ok(Self(ports))
    }
}

impl Processes {
    /// All that `typed` selects; the control plane's own if that is nothing.
    pub(super) fn resolve(typed: &[Self]) -> Vec<String> {
        if typed.is_empty() {
            return default_processes();
        }
        let mut names: Vec<String> = typed.iter().flat_map(|names| names.0.iter().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl FromStr for Processes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(Vec::new())),
            "default" => Ok(Self(default_processes())),
            "" => {
                Err("a program's name is empty; write the name of its executable, like kube-apiserver".into())
            }
            name if name.contains('/') => {
                let last = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or("kube-apiserver");
                Err(format!("`{name}` is a path; write the name of the executable alone, like {last}"))
            }
            name => Ok(Self(vec![name.to_owned()])),
        }
    }
}

fn default_ports() -> Vec<PortRange> {
    let mut ports: Vec<PortRange> = PORTS
        .into_iter()
        .chain(
            (COMPONENTS.0..=COMPONENTS.1).filter(|port| !matches!(port, 10_253 | 10_254)).map(PortRange::one),
        )
        .collect();
    ports.sort_by_key(|range| *range.ports().start());
    ports
}

fn default_processes() -> Vec<String> {
    PROCESSES.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(typed: &[&str]) -> Vec<String> {
        let typed: Vec<Ports> = typed.iter().map(|text| text.parse().unwrap()).collect();
        Ports::resolve(&typed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ports_replace_the_default_unless_it_is_named() {
        for port in [443, 6443, 10250, 10255, 2379, 2380, 8132] {
            assert!(ports(&[]).contains(&port.to_string()), "{port}");
        }
        assert_eq!(ports(&["8443, 7000-7010", "8443"]), ["7000-7010", "8443"]);
        assert_eq!(ports(&["none"]), Vec::<String>::new());
        assert_eq!(ports(&["default,65000"]).len(), ports(&[]).len() + 1);
    }

    #[test]
    fn programs_replace_the_default_unless_it_is_named() {
        let resolve = |typed: &[&str]| {
            Processes::resolve(&typed.iter().map(|text| text.parse().unwrap()).collect::<Vec<Processes>>())
        };
        assert!(resolve(&[]).contains(&"kube-apiserver".to_owned()));
        assert_eq!(resolve(&["caddy"]), ["caddy"]);
        assert_eq!(resolve(&["default", "caddy"]).len(), resolve(&[]).len() + 1);
        assert!(resolve(&["none"]).is_empty());
        assert!("/usr/bin/k3s".parse::<Processes>().unwrap_err().ends_with("like k3s"));
    }
}
