//! Drawings to JPEG, with the variety that files in the wild have.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use super::draw::{Drawing, Rng};

/// Encodes with a random quality, sampling, scan mode and restart interval; one in twenty is gray.
pub fn encode(drawing: &Drawing, rng: &mut Rng) -> Result<Vec<u8>, EncodingError> {
    const SAMPLINGS: [SamplingFactor; 6] = [
        SamplingFactor::F_1_1,
        SamplingFactor::F_2_1,
        SamplingFactor::F_1_2,
        SamplingFactor::F_2_2,
        SamplingFactor::F_2_2,
        SamplingFactor::F_4_1,
    ];
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 55 + rng.below(41) as u8);
    encoder.set_sampling_factor(SAMPLINGS[rng.below(6) as usize]);
    match rng.below(8) {
        0..=1 => encoder.set_progressive(true),
        2..=3 => encoder.set_optimized_huffman_tables(true),
        // Only here: jpeg-encoder 0.7 writes wrong DC differences when restarts meet the two modes above.
        4..=5 => encoder.set_restart_interval(1 + rng.below(30) as u16),
        _ => {}
    }
    let (width, height) = (drawing.width as u16, drawing.height as u16);
    if rng.chance(0.05) {
        let gray: Vec<u8> = drawing
            .rgb
            .chunks_exact(3)
            .map(|p| ((u32::from(p[0]) * 299 + u32::from(p[1]) * 587 + u32::from(p[2]) * 114 + 500) / 1000) as u8)
            .collect();
        encoder.encode(&gray, width, height, ColorType::Luma)?;
    } else {
        encoder.encode(&drawing.rgb, width, height, ColorType::Rgb)?;
    }
    Ok(bytes)
}
