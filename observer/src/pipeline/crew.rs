//! The threads of a replay: one reads and routes, some analyse, the caller's puts what they found in order.
//!
//! Every channel is bounded and blocks go round between the threads, so that memory does not grow with the capture.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::shard::{Router, SHARDS, Shard};
use super::stop::Stop;
use super::work::{Bench, Clock, Placed, Work};
use crate::source::pcap::{ReadError, Stream};

/// What one thread found in one block.
type Batch<S> = Vec<Placed<<S as Shard>::Found>>;

/// What one shard still had when the capture ended.
type Leftover<S> = (u8, Vec<<S as Shard>::Found>);

/// What comes from one thread: a batch for each block, then its shards' leftovers.
type FromWorker<S> = (Receiver<Batch<S>>, Receiver<Leftover<S>>);

/// How a capture's replay ended.
#[derive(Debug)]
pub(super) struct Outcome<R> {
    /// The router, with what it counted.
    pub router: R,
    /// Packets that were read.
    pub packets: u64,
    /// Why the reading stopped before the end.
    pub error: Option<ReadError>,
}

/// Takes what was found, in the order of the capture.
pub(super) trait Merger<F> {
    /// Why it cannot go on.
    type Error;

    /// The next finding.
    fn found(&mut self, found: F) -> Result<(), Self::Error>;

    /// Everything of one block was handed over; a live input now waits for the next packets.
    fn pause(&mut self) -> Result<(), Self::Error>;
}

/// Replays one capture on `threads` threads of analysis. The outcome is the same for any number of them.
///
/// # Errors
/// Those of `merger`; the replay then ends at once.
///
/// # Panics
/// Where one of the threads did.
pub(super) fn replay<R: Router<Read = S::Read>, S: Shard, M: Merger<S::Found>>(
    stream: Stream,
    router: R,
    shards: Vec<S>,
    threads: usize,
    stop: &Stop,
    merger: &mut M,
) -> Result<Outcome<R>, M::Error> {
    let shards = (0..SHARDS).zip(shards);
    if threads <= 1 {
        alone(stream, router, Bench::new(shards.collect()), stop, merger)
    } else {
        let threads = threads.min(usize::from(SHARDS));
        let mut benches: Vec<Vec<(u8, S)>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, shard) in shards {
            if let Some(bench) = benches.get_mut(usize::from(number) % threads) {
                bench.push((number, shard));
            }
        }
        together(stream, router, benches.into_iter().map(Bench::new).collect(), stop, merger)
    }
}

fn alone<R: Router<Read = S::Read>, S: Shard, M: Merger<S::Found>>(
    mut stream: Stream,
    mut router: R,
    mut bench: Bench<S>,
    stop: &Stop,
    merger: &mut M,
) -> Result<Outcome<R>, M::Error> {
    let (mut work, mut clock, mut found) = (Work::default(), Clock::default(), Vec::new());
    let mut packets = 0;
    let error = loop {
        if stop.is_asked() {
            break None;
        }
        match stream.fill(&mut work.block) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
        packets += work.block.packets().len() as u64;
        work.route(&mut router, &mut clock);
        bench.handle(&work, &mut found);
        for (_, found) in found.drain(..) {
            merger.found(found)?;
        }
        merger.pause()?;
    };
    for (_, found) in bench.finish() {
        for found in found {
            merger.found(found)?;
        }
    }
    Ok(Outcome { router, packets, error })
}

fn together<R: Router<Read = S::Read>, S: Shard, M: Merger<S::Found>>(
    stream: Stream,
    router: R,
    benches: Vec<Bench<S>>,
    stop: &Stop,
    merger: &mut M,
) -> Result<Outcome<R>, M::Error> {
    let blocks = benches.len() + 2;
    let (give_back, spare) = bounded(blocks);
    for _ in 0..blocks {
        // There is room for all of them.
        let _ = give_back.send(Work::default());
    }
    thread::scope(|scope| {
        let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
        for bench in benches {
            let (to_worker, work) = bounded(blocks);
            let (batches, from_worker) = bounded(blocks);
            let (leftovers, from_end) = bounded(1);
            to_workers.push(to_worker);
            from_workers.push((from_worker, from_end));
            thread::Builder::new()
                .name("analysis".into())
                .spawn_scoped(scope, move || analyse::<S>(bench, &work, &batches, &leftovers))
                .map_or_else(|error| resume_unwind(Box::new(error)), drop);
        }
        let (to_merger, routed) = bounded(blocks);
        let reader = scope.spawn(move || read(stream, router, stop, &spare, &to_workers, &to_merger));
        let merged = merge::<S, M>(&routed, &from_workers, give_back, merger);
        // Whoever waits for room in a channel is let go.
        drop((routed, from_workers));
        let outcome = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        merged.map(|()| outcome)
    })
}

/// Reads and routes blocks until the capture ends or nobody takes them.
fn read<R: Router>(
    mut stream: Stream,
    mut router: R,
    stop: &Stop,
    spare: &Receiver<Work<R::Read>>,
    to_workers: &[Sender<Arc<Work<R::Read>>>],
    to_merger: &Sender<Arc<Work<R::Read>>>,
) -> Outcome<R> {
    let (mut clock, mut packets, mut error) = (Clock::default(), 0, None);
    'blocks: while let Ok(mut work) = spare.recv() {
        if stop.is_asked() {
            break;
        }
        match stream.fill(&mut work.block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(failed) => {
                error = Some(failed);
                break;
            }
        }
        packets += work.block.packets().len() as u64;
        work.route(&mut router, &mut clock);
        let work = Arc::new(work);
        for to_worker in to_workers {
            if to_worker.send(Arc::clone(&work)).is_err() {
                break 'blocks;
            }
        }
        if to_merger.send(work).is_err() {
            break;
        }
    }
    Outcome { router, packets, error }
}

/// Analyses this thread's share of every block.
fn analyse<S: Shard>(
    mut bench: Bench<S>,
    work: &Receiver<Arc<Work<S::Read>>>,
    batches: &Sender<Batch<S>>,
    leftovers: &Sender<Leftover<S>>,
) {
    for work in work {
        let mut batch = Vec::new();
        bench.handle(&work, &mut batch);
        // Given up before the batch is sent, so that the merger is the last to hold the block and can give it back.
        drop(work);
        if batches.send(batch).is_err() {
            return;
        }
    }
    for leftover in bench.finish() {
        if leftovers.send(leftover).is_err() {
            return;
        }
    }
}

/// Puts in order what the threads found.
fn merge<S: Shard, M: Merger<S::Found>>(
    routed: &Receiver<Arc<Work<S::Read>>>,
    from_workers: &[FromWorker<S>],
    give_back: Sender<Work<S::Read>>,
    merger: &mut M,
) -> Result<(), M::Error> {
    let mut all = Vec::new();
    for work in routed {
        for (batches, _) in from_workers {
            // A thread that panicked sends nothing; the panic is told when it is joined.
            let Ok(batch) = batches.recv() else { return Ok(()) };
            all.extend(batch);
        }
        if let Some(work) = Arc::into_inner(work) {
            // Fails only if the reader has gone, which then needs no block.
            let _ = give_back.try_send(work);
        }
        // Each thread's part is sorted already, which this sort makes use of; it keeps equals as they are.
        all.sort_by_key(|(place, _)| *place);
        for (_, found) in all.drain(..) {
            merger.found(found)?;
        }
        merger.pause()?;
    }
    // The reader waits for no block any more; the shards' last findings follow by shard.
    drop(give_back);
    for number in 0..SHARDS {
        let Some((_, leftovers)) = from_workers.get(usize::from(number) % from_workers.len()) else { break };
        let Ok((_, found)) = leftovers.recv() else { break };
        for found in found {
            merger.found(found)?;
        }
    }
    merger.pause()
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "made-up captures are small")]
mod tests;
