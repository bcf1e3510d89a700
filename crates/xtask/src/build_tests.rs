//! Tests of the code that build.rs and xtask share; a build script cannot hold tests of its own.

use std::fs;

use crate::abi::{EntryAbi, parse_entries};
use crate::canonical::canonicalize;
use crate::manifest::source_sha256;

/// Two compilations of one source in two folders, as nvcc 13.0 writes them.
fn raw(hash: &str, folder: &str) -> String {
    format!(
        "//\n// Based on NVVM 7.0.1\n//\n\n.version 9.0\n.target sm_75\n.address_size 64\n\n\
         .visible .entry move_u8(\n\t.param .u64 move_u8_param_0\n)\n.maxntid 256, 1, 1\n{{\n\
         \t.loc\t1 43 5, function_name $L__info_string0, inlined_at 1 70 87\n\
         \t.shared .align 1 .b8 _ZZN43_INTERNAL_{hash}_12_move_cu_{hash}45_GLOBAL__N__{hash}_12_move_cu_{hash}9xE[768];\n\
         \t.pragma \"used_bytes_mask 0x3\";\n\tret;\n\n}}\n\
         \t.file\t1 \"{folder}/kernels/move.cu\"\n\t.file\t2 \"{folder}/kernels/include/grid.cuh\"\n\
         \t.file\t3 \"{folder}/cu13/include/cuda_fp16.hpp\"\n\
         \t.section\t.debug_str\n\t{{\n$L__info_string0:\n.b8 95,90,0\n\n\t}}\n"
    )
}

#[test]
fn canonical_ptx_does_not_know_where_it_was_made() {
    let here = canonicalize(&raw("34d87887", "/home/one"), "/home/one/kernels").expect("canonical PTX");
    let there =
        canonicalize(&raw("60ac28ad", "/kernels/include/two"), "/kernels/include/two/kernels").expect("canonical PTX");
    assert_eq!(here, there);
    assert!(here.contains(".version 8.0\n"), "{here}");
    assert!(here.contains("\t.loc\t1 43 5\n") && here.contains("\t// .pragma"), "{here}");
    assert!(here.contains("\"kernels/include/grid.cuh\"") && here.contains("\"include/cuda_fp16.hpp\""), "{here}");
    assert!(!here.contains("debug_str") && !here.contains("info_string") && here.ends_with("hpp\"\n"), "{here}");
}

#[test]
fn older_versions_stay() {
    assert_eq!(canonicalize(".version 7.8\n", "").expect("canonical PTX"), ".version 7.8\n");
}

#[test]
fn inexact_instructions_are_refused() {
    for code in ["\tex2.approx.ftz.f32 \t%f1, %f2;", "\t@%p1 sqrt.approx.f32 %f1, %f2;", "\tadd.ftz.f32 %f1, %f2, %f3;"]
    {
        assert!(canonicalize(code, "").expect_err("refused").contains("PTX line 1"), "{code}");
    }
    for code in ["\tadd.rn.f32 %f1, %f2, %f3;", "// sqrt.approx.f32", "\t.loc\t1 2 3"] {
        assert!(canonicalize(code, "").is_ok(), "{code}");
    }
}

#[test]
fn entries_tell_what_a_launch_must_know() {
    let ptx = "\
.shared .align 4 .b8 common[12];
.extern .shared .align 16 .b8 dynamic[];
.visible .entry mix_a_u8(
\t.param .u64 .ptr .align 1 mix_a_u8_param_0,
\t.param .align 8 .b8 mix_a_u8_param_1[24],
\t.param .u32 mix_a_u8_param_2,
\t.param .u8 mix_a_u8_param_3
)
.maxntid 32, 8, 1
.minnctapersm 2
{
\t.shared .align 1 .b8 first[3];
\t{ .reg .b32 %x; mov.u32 %x, common; }
\t.shared .align 8 .b8 second[16];
\tmov.u32 %r1, dynamic;
}

.visible .entry mix_b_u8()
.maxntid 64
{
\tret;
}
";
    let entries = parse_entries(ptx).expect("entries");
    // 36 bytes, up to the alignment of the dynamic ones.
    let a = EntryAbi { name: "mix_a_u8".into(), params: vec![8, 24, 4, 1], max_threads: 256, static_shared: 48 };
    let b = EntryAbi { name: "mix_b_u8".into(), params: vec![], max_threads: 64, static_shared: 0 };
    assert_eq!(entries, [a, b]);
}

#[test]
fn an_entry_without_launch_bounds_is_refused() {
    let why = parse_entries(".visible .entry x_y(\n\t.param .u64 p\n)\n{\n\tret;\n}\n").expect_err("refused");
    assert!(why.contains("x_y: no __launch_bounds__"), "{why}");
}

#[test]
fn a_source_hash_covers_headers_and_no_line_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("include")).expect("a folder");
    fs::write(path("k.cu"), "#include <cstdint>\n#include \"include/a.cuh\"\n").expect("a file");
    fs::write(path("include/a.cuh"), "#include \"b.cuh\"\n").expect("a file");
    fs::write(path("include/b.cuh"), "int b;\n").expect("a file");
    let before = source_sha256(&path("k.cu")).expect("a hash");

    fs::write(path("include/b.cuh"), "int b;\r\n").expect("a file");
    assert_eq!(source_sha256(&path("k.cu")).expect("a hash"), before);
    fs::write(path("include/b.cuh"), "int c;\n").expect("a file");
    assert_ne!(source_sha256(&path("k.cu")).expect("a hash"), before);
    fs::remove_file(path("include/b.cuh")).expect("removed");
    assert!(source_sha256(&path("k.cu")).expect_err("no header").contains("b.cuh"));
}
