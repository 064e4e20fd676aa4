//! observer's kernel programs: nine small hooks on the root of the cgroup v2 tree.
//!
//! They never change or refuse anything: every one returns 1 ("allow"). They parse nothing but the fixed headers, and
//! what they decide is in `observer-common`, where it is tested.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

/// A diagnostic line, where the feature `kernel-log` asks for them. Never on the way of a packet: a line costs two
/// passes over its arguments and up to 8 KiB.
macro_rules! say {
    ($($argument:tt)*) => {
        #[cfg(feature = "kernel-log")]
        aya_log_ebpf::debug!($($argument)*);
    };
}

mod calls;
mod ends;
mod headers;
mod maps;
mod packets;
mod pairs;
mod payload;
mod ring;
mod rules;
mod scope;
mod storage;
mod streams;
mod tcp;
mod tell;

use aya_ebpf::macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockContext};
use observer_common::direction;

/// Every one of ours lets everything pass.
const ALLOW: i32 = 1;

/// A packet leaves a socket.
#[cgroup_skb(egress)]
pub fn observer_out(ctx: SkBuffContext) -> i32 {
    packets::observe::<{ direction::OUT }>(ctx.skb.skb);
    ALLOW
}

/// A packet reaches a socket.
#[cgroup_skb(ingress)]
pub fn observer_in(ctx: SkBuffContext) -> i32 {
    packets::observe::<{ direction::IN }>(ctx.skb.skb);
    ALLOW
}

/// A program dials over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn observer_dial4(ctx: SockAddrContext) -> i32 {
    calls::dialled::<4>(ctx.sock_addr);
    say!(&ctx, "tgid {} dials over IPv4", aya_ebpf::EbpfContext::tgid(&ctx));
    ALLOW
}

/// A program dials over IPv6 (or an IPv4-mapped address).
#[cgroup_sock_addr(connect6)]
pub fn observer_dial6(ctx: SockAddrContext) -> i32 {
    calls::dialled::<6>(ctx.sock_addr);
    say!(&ctx, "tgid {} dials over IPv6", aya_ebpf::EbpfContext::tgid(&ctx));
    ALLOW
}

/// A program bound a socket to an IPv4 address.
#[cgroup_sock(post_bind4)]
pub fn observer_bind4(ctx: SockContext) -> i32 {
    calls::bound(ctx.sock);
    say!(&ctx, "tgid {} binds over IPv4", aya_ebpf::EbpfContext::tgid(&ctx));
    ALLOW
}

/// A program bound a socket to an IPv6 address.
#[cgroup_sock(post_bind6)]
pub fn observer_bind6(ctx: SockContext) -> i32 {
    calls::bound(ctx.sock);
    say!(&ctx, "tgid {} binds over IPv6", aya_ebpf::EbpfContext::tgid(&ctx));
    ALLOW
}

/// A program accepts a connection over IPv4, or asks for its peer.
#[cgroup_sock_addr(getpeername4)]
pub fn observer_meet4(ctx: SockAddrContext) -> i32 {
    calls::met(ctx.sock_addr);
    ALLOW
}

/// A program accepts a connection on an IPv6 socket, or asks for its peer.
#[cgroup_sock_addr(getpeername6)]
pub fn observer_meet6(ctx: SockAddrContext) -> i32 {
    calls::met(ctx.sock_addr);
    ALLOW
}

/// The last holder of a socket let go of it.
#[cgroup_sock(sock_release)]
pub fn observer_gone(ctx: SockContext) -> i32 {
    calls::released(ctx.sock);
    say!(&ctx, "tgid {} lets a socket go", aya_ebpf::EbpfContext::tgid(&ctx));
    ALLOW
}

/// Rejected by the verifier wherever it could be reached, which is how a possible panic is found.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel's helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
