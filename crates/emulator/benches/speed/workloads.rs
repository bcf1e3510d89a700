//! Workloads of the benchmark, each with the result that a plain computation gives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use warpline_emulator::checks::Checks;
use warpline_emulator::exec::code::Program;
use warpline_emulator::exec::launch::{Launch, run};
use warpline_emulator::exec::pool::Pool;
use warpline_emulator::lower::{Symbols, lower};
use warpline_emulator::mem::{Arena, Kind};
use warpline_emulator::ptx::{Module, parse};

/// One launch of a workload.
struct Step {
    program: Arc<Program>,
    blocks: u32,
    threads: u32,
    params: Vec<u8>,
}

/// Launches with their memory and the words that must be there afterwards.
pub struct Work {
    /// Name of the workload.
    pub name: &'static str,
    arena: Arc<Arena>,
    pool: Arc<Pool>,
    steps: Vec<Step>,
    /// Ranges that are zeroed before each run.
    cleared: Vec<(u64, usize)>,
    expected: Vec<(u64, Vec<u8>)>,
}

/// A little generator, so that inputs are the same everywhere.
fn noise(n: usize) -> Vec<u32> {
    let mut s = 0x9e37_79b9u32;
    let step = |_| {
        s ^= s << 13;
        s ^= s >> 17;
        s ^= s << 5;
        s
    };
    (0..n).map(step).collect()
}

fn bytes<T: Copy>(v: &[T]) -> Vec<u8> {
    // SAFETY: the element types used here are plain integers without padding.
    unsafe { std::slice::from_raw_parts(v.as_ptr().cast(), size_of_val(v)) }.to_vec()
}

struct Builder {
    module: Module,
    work: Work,
}

impl Builder {
    fn new(name: &'static str) -> Builder {
        let arena = Arc::new(Arena::new(1, 256 << 20).expect("address space"));
        let module = parse(include_str!("../../tests/data/speed.ptx")).expect("PTX of the pinned compiler");
        let work = Work { name, arena, pool: Pool::new(1), steps: vec![], cleared: vec![], expected: vec![] };
        Builder { module, work }
    }

    fn undefined(&self, len: usize) -> u64 {
        self.work.arena.alloc(0, len as u64, Kind::Device).expect("memory")
    }

    fn input<T: Copy>(&self, data: &[T]) -> u64 {
        let data = bytes(data);
        let at = self.undefined(data.len());
        // SAFETY: the allocation has this length.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), at as *mut u8, data.len()) };
        self.work.arena.define(at, data.len() as u64);
        at
    }

    fn zeroed(&mut self, len: usize) -> u64 {
        let at = self.undefined(len);
        self.work.cleared.push((at, len));
        self.work.arena.define(at, len as u64);
        at
    }

    fn output<T: Copy>(&mut self, want: &[T]) -> u64 {
        let want = bytes(want);
        let at = self.undefined(want.len());
        self.work.expected.push((at, want));
        at
    }

    fn step(&mut self, kernel: &str, blocks: usize, threads: u32, params: &[u64]) {
        let function = self.module.functions.iter().find(|f| f.name == kernel).expect("the kernel exists");
        let program = lower(&self.module, function, &Symbols::default()).expect("supported instructions");
        let mut packed = vec![0u8; program.param_bytes as usize];
        for ((at, size), v) in program.params.iter().zip(params) {
            let (at, size) = (*at as usize, *size as usize);
            packed[at..at + size].copy_from_slice(&v.to_le_bytes()[..size]);
        }
        self.work.steps.push(Step { program: Arc::new(program), blocks: blocks as u32, threads, params: packed });
    }
}

impl Work {
    /// Runs all launches on one worker; gives the time within them, by a clock, and the lane-instructions.
    pub fn run(&self, checks: Checks, clock: fn() -> Duration) -> (Duration, u64) {
        for (at, len) in &self.cleared {
            // SAFETY: the ranges are allocations of this workload.
            unsafe { (*at as *mut u8).write_bytes(0, *len) };
        }
        let (mut time, mut lanes) = (Duration::ZERO, 0);
        for s in &self.steps {
            let started = clock();
            let launch = Launch {
                program: s.program.clone(),
                arena: self.arena.clone(),
                grid: [s.blocks, 1, 1],
                block: [s.threads, 1, 1],
                dynamic_shared: 0,
                params: s.params.clone(),
                checks,
                count: false,
                sectors: None,
                seed: 0,
                cooperative: false,
                workers: 1,
                started: Instant::now(),
            };
            let (counters, failure) = run(launch, &self.pool);
            time += clock() - started;
            lanes += counters.lane_instructions;
            if let Some(f) = failure {
                panic!("{}: {}", self.name, f.report);
            }
        }
        (time, lanes)
    }

    /// Whether memory holds what it should after a run.
    pub fn verify(&self) {
        for (at, want) in &self.expected {
            // SAFETY: the allocation is as long as what is expected in it.
            let got = unsafe { std::slice::from_raw_parts(*at as *const u8, want.len()) };
            assert!(got == want, "{}: wrong result", self.name);
        }
    }
}

/// Exclusive sums of tiles of 1,024 by `cub::BlockScan`.
pub fn scan() -> Work {
    let mut b = Builder::new("scan");
    let blocks = 256;
    let data = noise(blocks * 1024);
    let (mut sums, mut totals) = (Vec::new(), Vec::new());
    for tile in data.chunks(1024) {
        let mut s = 0u32;
        for v in tile {
            sums.push(s);
            s = s.wrapping_add(*v);
        }
        totals.push(s);
    }
    let params = [b.input(&data), b.output(&sums), b.output(&totals)];
    b.step("speed_scan", blocks, 256, &params);
    b.work
}

/// Sorted tiles of 512 by `cub::BlockRadixSort`.
pub fn sort() -> Work {
    let mut b = Builder::new("radix sort");
    let blocks = 48;
    let data = noise(blocks * 512);
    let mut sorted = data.clone();
    sorted.chunks_mut(512).for_each(|t| t.sort_unstable());
    let params = [b.input(&data), b.output(&sorted)];
    b.step("speed_sort", blocks, 128, &params);
    b.work
}

/// A horizontal pass of a resize from 640 to 224 pixels with a triangle filter.
pub fn resize() -> Work {
    let mut b = Builder::new("resize");
    let (rows, width, out_width) = (200usize, 640usize, 224usize);
    let pixels: Vec<u8> = noise(rows * width * 3).iter().map(|v| *v as u8).collect();
    let scale = width as f64 / out_width as f64;
    let most = 2 * scale.ceil() as usize + 1;
    let (mut taps, mut weights) = (Vec::new(), vec![0i32; out_width * most]);
    for x in 0..out_width {
        let centre = (x as f64 + 0.5) * scale;
        let first = (centre - scale + 0.5).max(0.0) as usize;
        let last = ((centre + scale + 0.5) as usize).min(width);
        let w: Vec<f64> = (first..last).map(|i| 1.0 - ((i as f64 + 0.5 - centre) / scale).abs().min(1.0)).collect();
        let sum: f64 = w.iter().sum();
        for (k, v) in w.iter().enumerate() {
            weights[x * most + k] = (v / sum * (1 << 22) as f64).round() as i32;
        }
        taps.push([first as u32, (last - first) as u32]);
    }
    let mut want = vec![0u8; rows * out_width * 3];
    for (i, out) in want.iter_mut().enumerate() {
        let (y, x, c) = (i / 3 / out_width, i / 3 % out_width, i % 3);
        let [start, count] = taps[x];
        let term = |k: usize| pixels[(y * width + start as usize + k) * 3 + c] as i32 * weights[x * most + k];
        let sum = (0..count as usize).map(term).fold(1 << 21, i32::wrapping_add);
        *out = (sum >> 22).clamp(0, 255) as u8;
    }
    let (width, out_width, most) = (width as u64, out_width as u64, most as u64);
    let params = [b.input(&pixels), b.input(&taps), b.input(&weights), b.output(&want), width, out_width, most];
    b.step("speed_resize", rows, 128, &params);
    b.work
}

/// The plain form of the inverse DCT pass, from the same paper as the kernel's.
fn inverse(v: [i32; 8], shift: u32) -> [i32; 8] {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
    let (z1, t0, t1) = ((v2 + v6) * 4433, (v0 + v4) << 13, (v0 - v4) << 13);
    let (t2, t3) = (z1 - v6 * 15137, z1 + v2 * 6270);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    let a5 = (v7 + v3 + v5 + v1) * 9633;
    let (a1, a2, a3, a4) = ((v7 + v1) * 7373, (v5 + v3) * 20995, a5 - (v7 + v3) * 16069, a5 - (v5 + v1) * 3196);
    let odd = [v1 * 12299 - a1 + a4, v3 * 25172 - a2 + a3, v5 * 16819 - a2 + a4, v7 * 2446 - a1 + a3];
    let round = |x: i32| (x + (1 << (shift - 1))) >> shift;
    std::array::from_fn(|i| if i < 4 { round(even[i] + odd[i]) } else { round(even[7 - i] - odd[7 - i]) })
}

/// Inverse DCT of 8x8 blocks with dequantisation.
pub fn idct() -> Work {
    let mut b = Builder::new("idct");
    let n = 16384usize;
    let coefficients: Vec<i16> =
        noise(n * 64).iter().enumerate().map(|(i, v)| if i % 64 < 20 { (*v % 64) as i16 - 32 } else { 0 }).collect();
    let steps: Vec<u16> = (0..64).map(|i| 3 + i as u16 / 4).collect();
    let mut want = vec![0u8; n * 64];
    for (block, out) in coefficients.chunks(64).zip(want.chunks_mut(64)) {
        let mut m: [[i32; 8]; 8] =
            std::array::from_fn(|y| std::array::from_fn(|x| block[y * 8 + x] as i32 * steps[y * 8 + x] as i32));
        for x in 0..8 {
            let v = inverse(std::array::from_fn(|y| m[y][x]), 11);
            m.iter_mut().zip(v).for_each(|(row, value)| row[x] = value);
        }
        for y in 0..8 {
            for (x, v) in inverse(m[y], 18).into_iter().enumerate() {
                out[y * 8 + x] = (v + 128).clamp(0, 255) as u8;
            }
        }
    }
    let params = [b.input(&coefficients), b.input(&steps), b.output(&want), n as u64];
    b.step("speed_idct", n / 128, 128, &params);
    b.work
}

/// Serial decoding of prefix codes, a stream a thread.
pub fn bit_reader() -> Work {
    let mut b = Builder::new("bit reader");
    let (threads, symbols) = (1024usize, 400usize);
    // Symbol k < 7 has the code of k ones and a zero; symbols 7 and 8 end the set with eight bits.
    let code = |s: usize| if s < 7 { (((1u32 << s) - 1) << 1, s as u32 + 1) } else { (0xfe + (s as u32 - 7), 8) };
    let mut table = vec![0u16; 256];
    for s in 0..9 {
        let (bits, len) = code(s);
        let first = (bits << (8 - len)) as usize;
        table[first..first + (1 << (8 - len))].fill((len << 8 | s as u32) as u16);
    }
    let stride = symbols + 8;
    let mut streams = vec![0u8; threads * stride];
    let mut want = vec![0u8; threads * symbols];
    let random = noise(threads * symbols);
    for t in 0..threads {
        let mut at = 0usize;
        for s in 0..symbols {
            // Half of all symbols have one bit, as a prefix code expects, and so on.
            let symbol = (random[t * symbols + s].trailing_ones() as usize).min(8);
            want[t * symbols + s] = symbol as u8;
            let (bits, len) = code(symbol);
            for i in (0..len).rev() {
                streams[t * stride + at / 8] |= (((bits >> i) & 1) << (7 - at % 8)) as u8;
                at += 1;
            }
        }
    }
    let params = [b.input(&streams), stride as u64, b.input(&table), b.output(&want), symbols as u64];
    b.step("speed_bits", threads / 64, 64, &params);
    b.work
}

/// A hash table built with compare-and-swap and probed.
pub fn hash() -> Work {
    let mut b = Builder::new("hash");
    let (n, slots) = (1usize << 16, 1usize << 17);
    // Odd multiples are distinct, so each key has one row.
    let key = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let built: Vec<u64> = (0..n).map(key).collect();
    let order = noise(2 * n);
    let probes: Vec<usize> = order.iter().map(|v| *v as usize % (2 * n)).collect();
    let probed: Vec<u64> = probes.iter().map(|i| key(*i)).collect();
    let want: Vec<u32> = probes.iter().map(|i| if *i < n { *i as u32 } else { u32::MAX }).collect();
    let (table, rows) = (b.zeroed(slots * 8), b.undefined(slots * 4));
    let (built, probed, out) = (b.input(&built), b.input(&probed), b.output(&want));
    let mask = slots as u64 - 1;
    b.step("speed_build", n / 128, 128, &[built, n as u64, table, rows, mask]);
    b.step("speed_probe", 2 * n / 128, 128, &[probed, 2 * n as u64, table, rows, mask, out]);
    b.work
}

/// All of them.
pub fn all() -> Vec<Work> {
    vec![scan(), sort(), resize(), idct(), bit_reader(), hash()]
}
