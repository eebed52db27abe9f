//! The five messages of nftables that the agent sends, and the two it reads.
//!
//! No crate does this: rustables is under the GPL, `nftables` runs the program `nft`, which an image FROM scratch does not
//! have, and netlink-bindings brings 20,000 generated lines for what follows. The numbers are those of the kernel's
//! `linux/netfilter/nf_tables.h`; they are part of its stable interface.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::rules::{Check, Hook, Rule, Verdict};

/// How long the kernel may take to answer. It does within milliseconds.
const ANSWER: Duration = Duration::from_secs(5);
/// Largest transaction: the exceptions of hundreds of tools.
const MAX_BATCH: usize = 4 * 1024 * 1024;
/// Largest piece of an answer.
const MAX_ANSWER: usize = 64 * 1024;
/// Most rules that are read back.
const MAX_RULES: usize = 4096;

const REQUEST: u16 = 1;
const ACK: u8 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Kinds of answers: an error or an acknowledgement, and the end of a list.
const ERROR: u16 = 2;
const DONE: u16 = 3;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFTABLES: u16 = 10;
const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const NEW_RULE: u16 = NEW_TABLE | 6;
const GET_RULE: u16 = NEW_TABLE | 7;

const UNSPECIFIED: u8 = 0;
/// IPv4 and IPv6 in one table.
const INET: u8 = 1;
const NESTED: u16 = 0x8000;
/// Registers that an expression loads into and another reads.
const REGISTER: u32 = 1;

/// Puts `rules` in place of all that the table held. It happens in one transaction: no packet meets a half of it.
pub fn replace(table: &str, rules: &[Rule]) -> io::Result<()> {
    let mut batch = Batch::default();
    // The first makes sure that there is one to delete.
    batch.table(NEW_TABLE, CREATE, table);
    batch.table(DELETE_TABLE, 0, table);
    batch.table(NEW_TABLE, CREATE, table);
    for hook in [Hook::Input, Hook::Forward] {
        batch.chain(table, hook);
    }
    for rule in rules {
        batch.rule(table, rule);
    }
    batch.send()
}

/// Removes the table. Removing none succeeds.
pub fn remove(table: &str) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.table(NEW_TABLE, CREATE, table);
    batch.table(DELETE_TABLE, 0, table);
    batch.send()
}

/// The comments of the rules that the table holds, in order; none where there is no table.
pub fn comments(table: &str) -> io::Result<Vec<String>> {
    let socket = open()?;
    let mut body = Vec::new();
    attribute(&mut body, 1, &text(table));
    let mut request = Vec::new();
    message(&mut request, GET_RULE, DUMP, INET, 0, 1, &body);
    send(&socket, &request)?;
    let mut found = Vec::new();
    loop {
        let answer = receive(&socket)?;
        for (kind, body) in messages(&answer) {
            match kind {
                DONE => return Ok(found),
                ERROR => match error_of(body) {
                    Some(error) if error.raw_os_error() == Some(NO_ENTRY) => return Ok(Vec::new()),
                    Some(error) => return Err(error),
                    None => {}
                },
                NEW_RULE if found.len() < MAX_RULES => {
                    let data = attributes(body.get(4..).unwrap_or_default());
                    let comment = data.iter().find(|(kind, _)| *kind == 7).map(|(_, d)| *d);
                    found.push(comment.and_then(comment_of).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}

const NO_ENTRY: i32 = rustix::io::Errno::NOENT.raw_os_error();

/// Messages that count together or not at all.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    fn push(&mut self, kind: u16, flags: u16, body: &[u8]) {
        if self.bytes.is_empty() {
            message(
                &mut self.bytes,
                BATCH_BEGIN,
                0,
                UNSPECIFIED,
                NFTABLES,
                0,
                &[],
            );
        }
        self.sequence += 1;
        self.last = self.bytes.len();
        message(&mut self.bytes, kind, flags, INET, 0, self.sequence, body);
    }

    fn table(&mut self, kind: u16, flags: u16, table: &str) {
        let mut body = Vec::new();
        attribute(&mut body, 1, &text(table));
        self.push(kind, flags, &body);
    }

    fn chain(&mut self, table: &str, hook: Hook) {
        let mut place = Vec::new();
        attribute(&mut place, 1, &hook.number().to_be_bytes());
        // Before the rules of others, whose answer to a packet does not bind these.
        attribute(&mut place, 2, &(-10_i32).to_be_bytes());
        let mut body = Vec::new();
        attribute(&mut body, 1, &text(table));
        attribute(&mut body, 3, &text(hook.chain()));
        attribute(&mut body, 4 | NESTED, &place);
        attribute(&mut body, 7, &text("filter"));
        self.push(NEW_CHAIN, CREATE, &body);
    }

    fn rule(&mut self, table: &str, rule: &Rule) {
        let mut expressions = Vec::new();
        for check in &rule.checks {
            check_expressions(&mut expressions, check);
        }
        verdict_expression(&mut expressions, rule.verdict);
        let mut body = Vec::new();
        attribute(&mut body, 1, &text(table));
        attribute(&mut body, 2, &text(rule.hook.chain()));
        attribute(&mut body, 4 | NESTED, &expressions);
        // As `nft` writes comments: a kind, a length, and the text with its end.
        let comment = text(&rule.comment);
        let length = u8::try_from(comment.len()).unwrap_or(u8::MAX);
        let mut data = vec![0, length];
        data.extend(comment.iter().take(usize::from(length)));
        attribute(&mut body, 7, &data);
        self.push(NEW_RULE, CREATE | APPEND, &body);
    }

    fn send(mut self) -> io::Result<()> {
        // Errors are told of any message, success of those that ask for it. One for each could be more than is waited for.
        if let Some(flags) = self.bytes.get_mut(self.last + 6) {
            *flags |= ACK;
        }
        let end = self.sequence + 1;
        message(
            &mut self.bytes,
            BATCH_END,
            0,
            UNSPECIFIED,
            NFTABLES,
            end,
            &[],
        );
        let socket = open()?;
        send(&socket, &self.bytes)?;
        loop {
            let answer = receive(&socket)?;
            if let Some((_, body)) = messages(&answer)
                .into_iter()
                .find(|(kind, _)| *kind == ERROR)
            {
                return error_of(body).map_or(Ok(()), Err);
            }
        }
    }
}

/// Appends the expressions that a packet must pass.
fn check_expressions(out: &mut Vec<u8>, check: &Check) {
    match check {
        Check::FromInterface(name) => {
            meta(out, 6);
            // Without the zero that ends a name, so that any name with this beginning passes.
            compare(out, Compare::Equal, name.as_bytes());
        }
        Check::FromInterfaceNamed(name) => {
            meta(out, 6);
            let mut padded = [0_u8; 16];
            for (to, from) in padded.iter_mut().zip(name.bytes()) {
                *to = from;
            }
            compare(out, Compare::Equal, &padded);
        }
        Check::Answers => {
            let mut data = Vec::new();
            number(&mut data, 1, REGISTER);
            number(&mut data, 2, 0);
            expression(out, "ct", &data);
            // Established or related.
            masked(out, &6_u32.to_ne_bytes());
            compare(out, Compare::NotEqual, &0_u32.to_ne_bytes());
        }
        Check::Family(family) => {
            meta(out, 15);
            compare(out, Compare::Equal, &[*family]);
        }
        Check::Transport(protocol) => {
            meta(out, 16);
            compare(out, Compare::Equal, &[*protocol]);
        }
        Check::ToPort(port) => {
            payload(out, 2, 2, 2);
            compare(out, Compare::Equal, &port.to_be_bytes());
        }
        Check::IcmpType(first, last) => {
            payload(out, 2, 0, 1);
            compare(out, Compare::NotLess, &[*first]);
            compare(out, Compare::NotMore, &[*last]);
        }
        Check::To4(start) => {
            payload(out, 1, 16, u32::try_from(start.len()).unwrap_or_default());
            compare(out, Compare::Equal, start);
        }
        Check::To6LinkLocal => {
            payload(out, 1, 24, 2);
            masked(out, &[0xff, 0xc0]);
            compare(out, Compare::Equal, &[0xfe, 0x80]);
        }
    }
}

fn verdict_expression(out: &mut Vec<u8>, verdict: Verdict) {
    let mut data = Vec::new();
    match verdict {
        Verdict::Accept => {
            let (mut code, mut kind) = (Vec::new(), Vec::new());
            number(&mut code, 1, 1);
            attribute(&mut kind, 2 | NESTED, &code);
            number(&mut data, 1, 0);
            attribute(&mut data, 2 | NESTED, &kind);
            expression(out, "immediate", &data);
        }
        Verdict::Refuse => {
            // With the answer "administratively prohibited", in the language of IPv4 or IPv6.
            number(&mut data, 1, 2);
            attribute(&mut data, 2, &[3]);
            expression(out, "reject", &data);
        }
    }
}

#[derive(Clone, Copy)]
enum Compare {
    Equal = 0,
    NotEqual = 1,
    NotMore = 3,
    NotLess = 5,
}

fn meta(out: &mut Vec<u8>, key: u32) {
    let mut data = Vec::new();
    number(&mut data, 1, REGISTER);
    number(&mut data, 2, key);
    expression(out, "meta", &data);
}

fn payload(out: &mut Vec<u8>, base: u32, offset: u32, length: u32) {
    let mut data = Vec::new();
    for (kind, value) in [(1, REGISTER), (2, base), (3, offset), (4, length)] {
        number(&mut data, kind, value);
    }
    expression(out, "payload", &data);
}

fn compare(out: &mut Vec<u8>, operation: Compare, with: &[u8]) {
    let mut data = Vec::new();
    number(&mut data, 1, REGISTER);
    number(&mut data, 2, operation as u32);
    value(&mut data, 3, with);
    expression(out, "cmp", &data);
}

fn masked(out: &mut Vec<u8>, mask: &[u8]) {
    let mut data = Vec::new();
    number(&mut data, 1, REGISTER);
    number(&mut data, 2, REGISTER);
    number(&mut data, 3, u32::try_from(mask.len()).unwrap_or_default());
    value(&mut data, 4, mask);
    value(&mut data, 5, &vec![0; mask.len()]);
    expression(out, "bitwise", &data);
}

fn value(out: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    let mut inner = Vec::new();
    attribute(&mut inner, 1, bytes);
    attribute(out, kind | NESTED, &inner);
}

fn expression(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut element = Vec::new();
    attribute(&mut element, 1, &text(name));
    attribute(&mut element, 2 | NESTED, data);
    attribute(out, 1 | NESTED, &element);
}

fn number(out: &mut Vec<u8>, kind: u16, number: u32) {
    attribute(out, kind, &number.to_be_bytes());
}

/// A text with the zero that ends it.
fn text(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

fn attribute(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let length = u16::try_from(data.len() + 4).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    id: u16,
    sequence: u32,
    body: &[u8],
) {
    let length = u32::try_from(20 + body.len()).unwrap_or(u32::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((flags | REQUEST).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    out.extend([family, 0]);
    out.extend(id.to_be_bytes());
    out.extend(body);
}

fn open() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )?;
    for which in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&socket, which, Some(ANSWER))?;
    }
    // A transaction is one message, which may be larger than what is usual. Without the right to set rules this fails, too.
    let _ = set_socket_send_buffer_size_force(&socket, MAX_BATCH);
    Ok(socket)
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(socket, bytes, SendFlags::empty(), &kernel)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; MAX_ANSWER];
    let (length, _) = rustix::net::recv(socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    buffer.truncate(length);
    Ok(buffer)
}

/// The messages of an answer: their kinds and bodies.
fn messages(answer: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some((head, _)) = rest.split_first_chunk::<16>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = rest.get(16..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([head[4], head[5]]), body));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The attributes of a body: their kinds and data.
fn attributes(body: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let Some(data) = rest.get(4..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([head[2], head[3]]) & !NESTED, data));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The error that a message tells; none for an acknowledgement.
fn error_of(body: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(*body.first_chunk()?);
    (code != 0).then(|| io::Error::from_raw_os_error(-code))
}

fn comment_of(data: &[u8]) -> Option<String> {
    let (_, rest) = data.split_first_chunk::<2>()?;
    let text = rest.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
