//! Runs that are cancelled, dropped, repeated.

use std::time::{Duration, Instant};

use warpline::Error;

use super::*;
use crate::common::samples::Random;

#[test]
fn dropping_the_stream_ends_the_run_within_100_ms_and_one_call() {
    for polls in [0, 1, 5] {
        let pipeline = numbers(10_000).batch_rows(1).stage(Sleep { time: Duration::from_millis(20), one: false });
        let mut stream = pipeline.unwrap().workers(3).stage(Jitter).unwrap().stream().unwrap();
        for _ in 0..polls {
            stream.next().unwrap().unwrap();
        }
        let start = Instant::now();
        drop(stream);
        assert!(start.elapsed() < Duration::from_millis(120), "{:?}", start.elapsed());
    }
}

#[test]
fn cancel_at_any_time_ends_the_run_with_cancelled_or_finds_it_done() {
    let mut random = Random(11);
    let mut cancelled = 0;
    for _ in 0..60 {
        let pipeline = numbers(200).batch_rows(1).workers(2).stage(Jitter).unwrap().stage(Jitter).unwrap();
        let handle = pipeline.cancel_handle();
        let after = Duration::from_micros(random.below(30_000) as u64);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(after);
            handle.cancel();
        });
        match pipeline.collect() {
            Ok(out) => assert_eq!(ids(&out.batches), (0..200).collect::<Vec<_>>()),
            Err(Error::Cancelled) => cancelled += 1,
            Err(other) => panic!("{other}"),
        }
        killer.join().unwrap();
    }
    assert!(cancelled > 10, "{cancelled} of 60");
}

#[test]
fn cancelled_before_it_started() {
    let pipeline = numbers(200).stage(Jitter).unwrap();
    pipeline.cancel_handle().cancel();
    assert!(matches!(pipeline.collect(), Err(Error::Cancelled)));
}

/// Threads of this process whose name says that a pipeline started them.
fn pipeline_threads(of: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == of).count()
}

#[test]
fn a_thousand_runs_leave_no_thread_behind() {
    // The kernel keeps 15 characters of a thread's name: "warpline-" and the first six of the stage's.
    for run in 0..1000 {
        let pipeline = numbers(20).batch_rows(3).workers(2).map("leak01", |batch| Ok(batch.clone())).unwrap();
        let mut stream = pipeline.stream().unwrap();
        match run % 3 {
            0 => assert_eq!(stream.by_ref().map(|b| b.unwrap().num_rows()).sum::<usize>(), 20),
            1 => assert!(stream.next().unwrap().is_ok()),
            _ => {}
        }
        drop(stream);
        // A thread that was joined stays in /proc for a moment.
        let start = Instant::now();
        while pipeline_threads("warpline-leak01") > 0 {
            assert!(start.elapsed() < Duration::from_secs(5), "a thread is left after run {run}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_iterator_that_ended_stays_at_its_end() {
    let mut stream = numbers(20).batch_rows(10).stream().unwrap();
    assert_eq!(stream.by_ref().count(), 2);
    assert!(stream.next().is_none());
    assert_eq!(stream.report().rows_out, 20);
    let mut stream = numbers(20).map("bad", |_| Err(Error::invalid("bad", "always"))).unwrap().stream().unwrap();
    assert!(stream.next().unwrap().is_err());
    assert!(stream.next().is_none());
}

#[test]
fn results_as_a_record_batch_reader() {
    use warpline::arrow::array::RecordBatchReader;
    let reader = numbers(25).batch_rows(10).stream().unwrap().into_reader();
    assert_eq!(reader.schema(), table(0).schema());
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    assert_eq!(warpline::arrow::compute::concat_batches(&table(0).schema(), &batches).unwrap(), table(25));
}
