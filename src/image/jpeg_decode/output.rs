//! The output side: planes to RGB rows.

use super::color;
use super::frame::{ColorModel, Frame};
use super::upsample::{Plane, Scratch};

/// Emits RGB rows as the planes fill.
pub(crate) struct Output<'a> {
    model: ColorModel,
    width: usize,
    height: usize,
    next: usize,
    scratch: [Scratch; 4],
    pixels: &'a mut [u8],
}

impl<'a> Output<'a> {
    /// Into `pixels`, as many bytes as the image has.
    pub fn new(frame: &Frame, model: ColorModel, pixels: &'a mut [u8]) -> Self {
        let (width, height) = (frame.width as usize, frame.height as usize);
        Output { model, width, height, next: 0, scratch: Default::default(), pixels }
    }

    /// Emits the rows before `until` that were not emitted yet.
    pub fn emit(&mut self, planes: &[Plane], until: usize) {
        let until = until.min(self.height);
        for y in self.next..until {
            let mut rows: [&[u8]; 4] = [&[]; 4];
            for ((row, plane), scratch) in rows.iter_mut().zip(planes).zip(&mut self.scratch) {
                *row = plane.row(y, scratch);
            }
            let out = &mut self.pixels[y * self.width * 3..][..self.width * 3];
            color::convert_row(self.model, &rows[..planes.len().min(4)], out);
        }
        self.next = self.next.max(until);
    }

    /// Emits all that is left.
    pub fn finish(mut self, planes: &[Plane]) {
        self.emit(planes, self.height);
    }
}
