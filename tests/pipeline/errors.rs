//! Bad rows, bad stages and bad sources.

use std::collections::BTreeSet;

use warpline::Error;
use warpline::arrow::array::StringArray;
use warpline::arrow::datatypes::{DataType, Field, Schema};
use warpline::pipeline::{MapStage, OnError, RowError};

use super::*;

/// How a stage fails on its bad rows.
#[derive(Clone, Copy, Debug)]
enum How {
    Marks,
    Returns,
    Panics,
}

/// Makes a column `text` out of `id`, and fails on every id that is 3 modulo 17.
struct Text(How);

fn bad(id: i64) -> bool {
    id % 17 == 3
}

impl Stage for Text {
    fn name(&self) -> &str {
        "text"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new("text", DataType::Utf8, true)));
        Ok(Arc::new(Schema::new(fields)))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 + 40 * batch.num_rows() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, mut item: Item) -> Result<Item> {
        let host = item.batch().to_record_batch()?;
        let mut texts = Vec::new();
        for (row, &id) in host.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
            match (bad(id), self.0) {
                (false, _) => texts.push(Some(format!("no. {id}"))),
                (true, How::Marks) => {
                    item.fail(row, "odd", format!("id {id}"));
                    texts.push(None);
                }
                (true, How::Returns) => return Err(Error::invalid("text", format!("id {id}"))),
                (true, How::Panics) => panic!("id {id}"),
            }
        }
        let mut columns = host.columns().to_vec();
        columns.push(Arc::new(StringArray::from(texts)));
        let batch = RecordBatch::try_new(self.schema(&host.schema())?, columns).unwrap();
        item.with_batch(Batch::from_record_batch(&batch))
    }
}

fn text_of(batches: &[Batch]) -> Vec<Option<String>> {
    let columns = batches.iter().map(|batch| batch.column("text").unwrap().to_array().unwrap());
    columns.flat_map(|c| c.as_string::<i32>().iter().map(|t| t.map(String::from)).collect::<Vec<_>>()).collect()
}

#[test]
fn n_bad_rows_of_m_are_exactly_n_errors_and_the_others_are_untouched() {
    let bad_ids: Vec<i64> = (0..500).filter(|&id| bad(id)).collect();
    for how in [How::Marks, How::Returns, How::Panics] {
        for rows in [1, 16, 100, 500] {
            let run = |on_error| numbers(500).batch_rows(rows).stage(Text(how)).unwrap().on_error(on_error).collect();
            let nulled = run(OnError::Null).unwrap();
            assert_eq!(ids(&nulled.batches), (0..500).collect::<Vec<_>>(), "{how:?}");
            let texts: Vec<_> = (0..500).map(|id| (!bad(id)).then(|| format!("no. {id}"))).collect();
            assert_eq!(text_of(&nulled.batches), texts, "{how:?}");

            let skipped = run(OnError::Skip { max: bad_ids.len() as u64 }).unwrap();
            let kept: Vec<i64> = (0..500).filter(|&id| !bad(id)).collect();
            assert_eq!(ids(&skipped.batches), kept, "{how:?}");
            for report in [&nulled.report, &skipped.report] {
                assert_eq!(report.error_rows, bad_ids.len() as u64);
                let rows: Vec<i64> = report.errors.iter().map(|e| e.row as i64).collect();
                assert_eq!(rows, bad_ids, "{how:?}");
                for e in &report.errors {
                    let code = match how {
                        How::Marks => "odd",
                        How::Returns => "invalid_input",
                        How::Panics => "panic",
                    };
                    assert_eq!((&*e.source, &*e.stage, &*e.code), ("memory", "text", code));
                    assert!(e.message.contains(&format!("id {}", e.row)), "{e:?}");
                }
            }
        }
    }
}

#[test]
fn fail_names_the_first_bad_row_whatever_finishes_first() {
    for _ in 0..20 {
        let pipeline = numbers(500).batch_rows(5).workers(4).stage(Jitter).unwrap().stage(Text(How::Marks)).unwrap();
        match pipeline.collect().err().unwrap() {
            Error::Item { source_name, row, stage, code, message } => {
                let all = (source_name.as_str(), row, stage.as_str(), code.as_str(), message.as_str());
                assert_eq!(all, ("memory", 3, "text", "odd", "id 3"));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn skip_has_a_maximum() {
    let run = |max| {
        let pipeline = numbers(500).batch_rows(50).stage(Text(How::Marks)).unwrap();
        pipeline.on_error(OnError::Skip { max }).collect()
    };
    assert!(run(30).is_ok());
    let error = run(4).err().unwrap().to_string();
    assert_eq!(error, "memory, row 71: text: odd: id 71 (more than 4 bad rows)");
}

#[test]
fn the_side_stream_is_complete_and_in_order() {
    let (sender, receiver) = std::sync::mpsc::channel::<RowError>();
    let pipeline = numbers(60_000).batch_rows(999).workers(4).stage(Text(How::Marks)).unwrap().on_error(OnError::Null);
    let report = pipeline.on_row_error(move |e| sender.send(e.clone()).unwrap()).collect().unwrap().report;
    let rows: Vec<u64> = receiver.iter().map(|e| e.row).collect();
    assert_eq!(rows, (0..60_000).filter(|&id| bad(id as i64)).collect::<Vec<_>>());
    assert_eq!((report.errors.len(), report.error_rows), (1000, rows.len() as u64));
}

#[test]
fn a_stage_that_breaks_its_word_is_an_error_that_says_so() {
    let fewer = numbers(10).map("fewer", |batch| {
        let host = batch.to_record_batch()?;
        Ok(Batch::from_record_batch(&host.slice(0, 3)))
    });
    let error = fewer.unwrap().collect().err().unwrap().to_string();
    assert!(error.contains("given 10 rows and returned 3"), "{error}");

    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let stage =
        MapStage::new("liar", |batch| Ok(Batch::from_record_batch(&batch.to_record_batch()?.project(&[0]).unwrap())));
    let error = numbers(10).stage(stage.schema(schema)).unwrap().collect().err().unwrap().to_string();
    assert!(error.contains("column 'id': type Int64, the schema says Utf8"), "{error}");
}

#[test]
fn errors_that_are_not_about_rows_end_the_run() {
    let pipeline = numbers(100)
        .batch_rows(1)
        .map("disk", |_| Err(Error::io("/some/disk", std::io::Error::from(std::io::ErrorKind::StorageFull))));
    let error = pipeline.unwrap().on_error(OnError::Null).collect().err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn errors_of_split_batches_keep_their_rows() {
    // Batches are split for the budget before the stage that fails; origins must follow.
    let pipeline = numbers(300).batch_rows(100).batch_bytes(warpline::pipeline::Bytes(6000));
    let pipeline = pipeline.stage(Expand { times: 9, workspace: 0 }).unwrap().stage(Text(How::Panics)).unwrap();
    let out = pipeline.budget(warpline::pipeline::Bytes(64_000)).on_error(OnError::Null).collect().unwrap();
    let rows: BTreeSet<u64> = out.report.errors.iter().map(|e| e.row).collect();
    assert_eq!(rows, (0..300).filter(|&id| bad(id as i64)).collect());
    assert_eq!(ids(&out.batches), (0..300).collect::<Vec<_>>());
    assert!(out.report.peak <= 64_000);
}
