//! Frames made by hand.

use super::*;

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x39, 0x19, 0x2b, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

fn v4(payload: &[u8], total: Option<u16>) -> Vec<u8> {
    let inner = tcp(payload);
    let total = total.unwrap_or_else(|| u16::try_from(inner.len() + 20).unwrap());
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend(inner);
    bytes
}

fn v6(extensions: &[u8], first: u8, payload: &[u8]) -> Vec<u8> {
    let inner = [extensions, &tcp(payload)].concat();
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(u16::try_from(inner.len()).unwrap().to_be_bytes());
    bytes.extend([first, 64]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
    bytes.extend([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    bytes.extend(inner);
    bytes
}

fn whole(link: LinkType, frame: &[u8], wire: usize) -> Packet<'_> {
    match decode(link, frame, u32::try_from(wire).unwrap(), Timestamp(0)).unwrap() {
        Decoded::Segment(packet) => packet,
        Decoded::Fragment(fragment) => panic!("{fragment:?}"),
    }
}

fn under(prefix: &[u8], network: &[u8]) -> Vec<u8> {
    [prefix, network].concat()
}

#[test]
fn every_link_layer_leads_to_the_same_segment() {
    let mut vlan = vec![0; 12];
    vlan.extend([0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]);
    let mut ethernet = vec![0; 12];
    ethernet.extend([8, 0]);
    let mut sll = vec![0; 14];
    sll.extend([8, 0]);
    let mut sll2 = vec![8, 0, 0, 0, 0, 0, 0, 5];
    sll2.extend([0; 12]);
    for (link, prefix) in [
        (1, vlan),
        (1, ethernet),
        (113, sll),
        (276, sll2),
        (101, vec![]),
        (228, vec![]),
        (12, vec![]),
        (0, vec![2, 0, 0, 0]),
        (0, vec![0, 0, 0, 2]),
        (108, vec![0, 0, 0, 2]),
    ] {
        let frame = under(&prefix, &v4(b"hello", None));
        let packet = whole(LinkType(link), &frame, frame.len());
        assert_eq!(packet.source, "10.0.0.1:12345".parse().unwrap());
        assert_eq!(packet.destination, "10.0.0.2:6443".parse().unwrap());
        assert_eq!((packet.segment.seq, packet.segment.ack, packet.segment.payload), (7, 9, &b"hello"[..]));
        assert_eq!(packet.interface, (link == 276).then_some(5));
    }
}

#[test]
fn trims_ethernet_padding_by_the_ip_length() {
    let mut frame = v4(b"x", None);
    frame.extend([0; 9]);
    assert_eq!(whole(LinkType::RAW, &frame, frame.len()).segment.payload, b"x");
}

#[test]
fn takes_the_length_of_a_giant_segment_from_the_wire() {
    let frame = v4(b"abc", Some(0));
    let packet = whole(LinkType::RAW, &frame, 100_000);
    assert_eq!((packet.segment.len, packet.segment.payload), (100_000 - 40, &b"abc"[..]));
}

#[test]
fn walks_extension_headers_and_maps_addresses() {
    let frame = v6(&[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0], 0, b"hi");
    let packet = whole(LinkType::IPV6, &frame, frame.len());
    assert_eq!(packet.source, "10.0.0.1:12345".parse().unwrap());
    assert_eq!(packet.destination, "[2001::2]:6443".parse().unwrap());
    assert_eq!(packet.segment.payload, b"hi");
}

#[test]
fn every_prefix_of_a_frame_is_cut_or_skipped_without_panic() {
    for frame in [v4(b"hello", None), v6(&[6, 0, 1, 4, 0, 0, 0, 0], 0, b"hello")] {
        for end in 0..frame.len() {
            match decode(LinkType::RAW, &frame[..end], u32::try_from(frame.len()).unwrap(), Timestamp(0)) {
                Ok(Decoded::Segment(packet)) => assert_eq!(packet.segment.len, 5),
                Ok(Decoded::Fragment(_)) => panic!("no fragment"),
                Err(skip) => assert_eq!(skip, Skip::Truncated),
            }
        }
    }
}

#[test]
fn tells_fragments_from_whole_packets() {
    let mut frame = v4(b"hello", None);
    frame[6] = 0x20;
    assert!(matches!(
        decode(LinkType::RAW, &frame, 45, Timestamp(0)),
        Ok(Decoded::Fragment(Fragment { offset: 0, more: true, .. }))
    ));
}

/// Whatever a frame is, one look at it gives what the layers one after the other give.
#[test]
fn a_plain_frame_is_decoded_at_one_look_as_by_layers() {
    let same = |frame: &[u8], wire: u32| {
        let (fast, slow) = (
            decode(LinkType::ETHERNET, frame, wire, Timestamp(7)),
            decode_any(LinkType::ETHERNET, frame, wire, Timestamp(7)),
        );
        assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "{frame:02x?}");
    };
    let mut header = vec![2; 12];
    header.extend([8, 0]);
    let frame = [under(&header, &v4(b"payload", None)), vec![0; 9]].concat();
    assert!(plain::decode(&frame, Timestamp(7)).is_some());
    let mut random = 1_u32;
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut changed = frame.clone();
            changed[at] ^= 1 << bit;
            for cut in 0..=changed.len() {
                same(&changed[..cut], 70);
            }
            // Three bytes of the headers at once.
            for _ in 0..200 {
                let mut changed = frame.clone();
                for _ in 0..3 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    changed[12 + (random >> 24) as usize % 40] = random.to_be_bytes()[1];
                }
                same(&changed, 70);
            }
        }
    }
}
