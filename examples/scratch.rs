//! scratch
use sha2::{Digest, Sha256};
use warpline::image::jpeg_decode::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let all = std::fs::read(&a[1]).unwrap();
    let mut o = DecodeOptions::default();
    if a.len() > 2 && a[2].contains('e') {
        o.exif_orientation = true;
    }
    if a.len() > 2 && a[2].contains('s') {
        o.corrupt = Corrupt::Strict;
    }
    let mut p = 0;
    while p < all.len() {
        let n = u32::from_le_bytes(all[p..p + 4].try_into().unwrap()) as usize;
        let r = decode(&all[p + 4..p + 4 + n], &o);
        p += 4 + n;
        match r {
            Ok(i) => println!(
                "{} {} {}",
                i.width,
                i.height,
                Sha256::digest(&i.data).iter().map(|b| format!("{b:02x}")).collect::<String>()
            ),
            Err(e) => println!("error {e}"),
        }
    }
}
