//! NumPy's array file, format 1.0 (numpy/lib/format.py): magic, version, header length, a Python dict padded with spaces
//! so that the data start at a multiple of 64 bytes, then the elements in C order.

use std::io::{self, Write};

/// Writes the header for elements of `descr` (NumPy's type string, little-endian) and this shape; the elements follow.
pub fn write_header(out: &mut impl Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // Python writes a tuple of one with a comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    const PREFIX: usize = 6 + 2 + 2;
    let length = (PREFIX + header.len() + 1).next_multiple_of(64) - PREFIX;
    while header.len() + 1 < length {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(length).map_err(|_| io::Error::other("an npy header of more than 64 KiB"))?;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `numpy.save` writes for `numpy.zeros((2, 3, 4, 4), "<f4")` before the data (NumPy 2.4).
    #[test]
    fn header_equals_numpys() {
        let mut bytes = Vec::new();
        write_header(&mut bytes, "<f4", &[2, 3, 4, 4]).unwrap();
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 4), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len() % 64, 0);
    }
}
