//! Short TLS connections, after those of the fixtures.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::mix::Script;
use super::scattered;
use super::template::{Ends, Template};
use crate::fixtures::{SERVER, pcap};
use crate::workspace;

/// Whole connections.
pub fn whole() -> Result<impl Fn(u32) -> Played> {
    let templates = templates()?;
    Ok(move |number| play(&templates, number, |template| template.len()))
}

/// Connections that are cut off somewhere between the first packet and the end, and never closed.
pub fn never_closed() -> Result<impl Fn(u32) -> Played> {
    let templates = templates()?;
    Ok(move |number: u32| {
        play(&templates, number, |template| {
            let open = u64::try_from(template.open()).unwrap_or(1).max(1);
            usize::try_from(1 + scattered(number, 4) % open).unwrap_or(1)
        })
    })
}

fn play(templates: &[Arc<Template>], number: u32, length: impl Fn(&Template) -> usize) -> Played {
    let choice = usize::try_from(scattered(number, 0) % templates.len() as u64).unwrap_or_default();
    let template = Arc::clone(&templates[choice]);
    let length = length(&template);
    Played { template, ends: ends(number), next: 0, length }
}

/// The ends of connection `number`: a client of its own.
pub fn ends(number: u32) -> Ends {
    let half = |purpose| u32::try_from(scattered(number, purpose) >> 32).unwrap_or_default();
    Ends {
        client: Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number),
        server: Ipv4Addr::new(10, 1, 0, u8::try_from(number % 16).unwrap_or_default()),
        shift: [half(1), half(2)],
    }
}

/// One such connection.
pub struct Played {
    template: Arc<Template>,
    ends: Ends,
    next: usize,
    length: usize,
}

impl Script for Played {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<u64> {
        if self.next == self.length {
            return None;
        }
        let after = self.template.play(self.next, self.ends, frame);
        self.next += 1;
        after
    }
}

/// The direct TLS 1.2 and 1.3 connections of the fixtures that carry one HTTP request in segments as they were sent.
pub fn templates() -> Result<Vec<Arc<Template>>> {
    let folder = workspace::root().join("tests/fixtures");
    let labels = std::fs::read_to_string(folder.join("labels.jsonl"))?;
    let mut templates: BTreeMap<(Ipv4Addr, u16), (u64, Template)> = BTreeMap::new();
    for line in labels.lines() {
        let label: Value = serde_json::from_str(line)?;
        let is = |column: &str, value: &str| label[column] == value;
        if !(is("file", "tls.pcap") && is("app", "http1") && is("segmentation", "mtu1500"))
            || !(is("tls_version", "1.2") || is("tls_version", "1.3"))
        {
            continue;
        }
        let client = label["client_ip"].as_str().context("a label has no client")?.parse()?;
        let port = label["client_port"].as_u64().and_then(|port| u16::try_from(port).ok());
        templates.insert((client, port.context("a label has no port")?), (0, Template::default()));
    }
    for packet in pcap::packets(&std::fs::read(folder.join("tls.pcap"))?)? {
        let end = |address: usize, port: usize| {
            let octets: [u8; 4] = *packet.frame.get(address..)?.first_chunk()?;
            Some((Ipv4Addr::from(octets), u16::from_be_bytes(*packet.frame.get(port..)?.first_chunk()?)))
        };
        let (source, destination) = end(26, 34).zip(end(30, 36)).context("a frame is too short")?;
        let client = if source.0 == SERVER { destination } else { source };
        if let Some((first, template)) = templates.get_mut(&client) {
            if template.len() == 0 {
                *first = packet.time;
            }
            template.push(*first, &packet)?;
        }
    }
    ensure!(!templates.is_empty(), "the fixtures hold no such connection");
    Ok(templates.into_values().map(|(_, template)| Arc::new(template)).collect())
}
