//! Stages run at once, results keep their order, and no setting changes them.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use warpline::pipeline::{Bytes, OnError, Order, Pipeline};

use super::*;

#[test]
fn three_stages_of_10_ms_and_200_batches_take_the_time_of_one() {
    let sleep = || Sleep { time: Duration::from_millis(10), one: true };
    let start = Instant::now();
    let pipeline = numbers(200).batch_rows(1).stage(sleep()).unwrap().stage(sleep()).unwrap().stage(sleep()).unwrap();
    let out = pipeline.collect().unwrap();
    let wall = start.elapsed();
    assert_eq!(ids(&out.batches), (0..200).collect::<Vec<_>>());
    let one: Duration = out.report.stages[1..4].iter().map(|s| s.busy).max().unwrap();
    assert!(one >= Duration::from_secs(2), "each stage slept 200 times 10 ms, not {one:?}");
    assert!(wall <= one.mul_f64(1.2), "{wall:?} for stages of {one:?} each");
    let bottleneck = out.report.bottleneck().unwrap();
    assert_eq!(bottleneck.name, "sleep");
    assert!(bottleneck.utilisation(out.report.wall) > 0.8);
}

#[test]
fn order_is_that_of_the_input_or_of_completion() {
    let run = |order| {
        let pipeline = numbers(300).batch_rows(1).workers(4).stage(Jitter).unwrap().order(order);
        ids(&pipeline.collect().unwrap().batches)
    };
    let sorted: Vec<i64> = (0..300).collect();
    assert_eq!(run(Order::Input), sorted);
    let mut any = run(Order::Completion);
    assert_ne!(any, sorted, "300 batches of random times on 4 threads do not finish in order");
    any.sort_unstable();
    assert_eq!(any, sorted);
}

#[test]
fn a_chain_of_64_stages() {
    let mut pipeline = numbers(500).batch_rows(7).workers(2);
    for i in 0..64 {
        pipeline = pipeline.map(&format!("stage {i}"), |batch| Ok(batch.clone())).unwrap();
    }
    let out = pipeline.collect().unwrap();
    assert_eq!(ids(&out.batches), (0..500).collect::<Vec<_>>());
    assert_eq!(out.report.stages.len(), 66);
    assert!(out.report.stages.iter().all(|stage| stage.rows_out == 500));
}

/// Keeps rows whose id is a multiple of `n`; 0 keeps none.
struct Multiples(i64);

impl Stage for Multiples {
    fn name(&self) -> &str {
        "multiples"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let host = item.batch().to_record_batch()?;
        let keep = host.column(0).as_primitive::<Int64Type>().values().iter().map(|v| self.0 > 0 && v % self.0 == 0);
        let keep = warpline::arrow::array::BooleanArray::from_iter(keep.map(Some));
        let kept = warpline::arrow::compute::filter_record_batch(&host, &keep).unwrap();
        item.filtered(Batch::from_record_batch(&kept), keep.values())
    }
}

#[test]
fn empty_and_all_filtered_batches_pass() {
    for n in [0, 100, 3] {
        let pipeline = numbers(250).batch_rows(10).stage(Multiples(n)).unwrap().stage(Jitter).unwrap();
        let out = pipeline.collect().unwrap();
        let expected: Vec<i64> = (0..250).filter(|v| n > 0 && v % n == 0).collect();
        assert_eq!(ids(&out.batches), expected);
        assert!(out.batches.iter().all(|batch| batch.num_rows() > 0));
        assert_eq!((out.report.rows_in, out.report.rows_out), (250, expected.len() as u64));
    }
    let out = numbers(0).stage(Jitter).unwrap().collect().unwrap();
    assert_eq!((out.batches.len(), out.report.rows_in), (0, 0));
    assert_eq!(out.schema, table(0).schema());
}

#[test]
fn progress_counts_every_row_of_the_source() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let pipeline = numbers(100).batch_rows(9).stage(Multiples(10)).unwrap();
    pipeline.progress(move |p| sender.send(*p).unwrap()).collect().unwrap();
    let seen: Vec<_> = receiver.iter().collect();
    assert!(seen.is_sorted_by_key(|p| p.rows_done));
    let last = seen.last().unwrap();
    assert_eq!((last.total_rows, last.rows_done, last.rows_out, last.error_rows), (Some(100), 100, 10, 0));
}

#[test]
fn explain_and_report_name_every_stage() {
    let pipeline = numbers(10).map("first", |b| Ok(b.clone())).unwrap().stage(Jitter).unwrap();
    let text = pipeline.explain().unwrap();
    for part in ["memory", "first", "jitter", "blob: Binary", "budget 1.0 GiB"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let text = pipeline.collect().unwrap().report.to_string();
    for part in ["memory", "first", "jitter", "collect", "bottleneck: ", "10 rows in "] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_trace_is_json_with_an_event_per_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    numbers(40).batch_rows(10).stage(Jitter).unwrap().trace(&path).collect().unwrap();
    let events: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let steps = events.as_array().unwrap().iter().filter(|e| e["ph"] == "X" && e["name"] == "jitter");
    assert_eq!(steps.map(|e| e["args"]["rows"].as_u64().unwrap()).sum::<u64>(), 40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The same bytes for any number of workers, depth of queues, size of batches and budget.
    #[test]
    fn settings_do_not_change_results(
        workers in 1usize..6, depth in 1usize..5, rows in 1usize..60, bytes in 200u64..20_000, budget in 200u64..4000,
        times in 1u64..12, null in any::<bool>(),
    ) {
        let build = |pipeline: Pipeline| {
            let pipeline = pipeline.stage(Expand { times, workspace: 100 }).unwrap().stage(Jitter).unwrap();
            pipeline.stage(Multiples(2)).unwrap().on_error(if null { OnError::Null } else { OnError::Fail })
        };
        let plain = build(numbers(200)).workers(1).queue_depth(1).collect().unwrap();
        let budget = Bytes(bytes.max(budget * times) * 10);
        let set = build(numbers(200)).workers(workers).queue_depth(depth).batch_rows(rows).batch_bytes(Bytes(bytes));
        let set = set.budget(budget).collect().unwrap();
        prop_assert_eq!(whole(&set.schema, &set.batches), whole(&plain.schema, &plain.batches));
        prop_assert!(set.report.peak <= set.report.budget, "{} of {}", set.report.peak, set.report.budget);
    }
}
