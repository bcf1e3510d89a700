//! Why an image could not be decoded.

use std::fmt;

/// Short stable code of a decode failure; what error tables and `--errors` files show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeCode {
    /// The bytes end before the image does.
    Truncated,
    /// A Huffman table is missing or no prefix code, or (strict mode) an invalid code was met.
    BadHuffman,
    /// A correct file of a kind that is not decoded: another format, arithmetic coding, 12 bits, lossless, fractional
    /// sampling.
    Unsupported,
    /// More pixels than [`DecodeOptions::max_pixels`](super::DecodeOptions), or a side longer than 65,500.
    TooLarge,
    /// The bytes do not start like any image format known here.
    NotAnImage,
    /// The file breaks the JPEG format.
    Corrupt,
}

impl DecodeCode {
    /// The code as text, such as `truncated`.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeCode::Truncated => "truncated",
            DecodeCode::BadHuffman => "bad_huffman",
            DecodeCode::Unsupported => "unsupported",
            DecodeCode::TooLarge => "too_large",
            DecodeCode::NotAnImage => "not_an_image",
            DecodeCode::Corrupt => "corrupt",
        }
    }
}

impl fmt::Display for DecodeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one image could not be decoded: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DecodeError {
    /// The short stable code.
    pub code: DecodeCode,
    /// What was wrong, in one line.
    pub message: String,
}

impl DecodeError {
    /// An error from its parts.
    pub(crate) fn new(code: DecodeCode, message: impl Into<String>) -> Self {
        DecodeError { code, message: message.into() }
    }

    /// A file that breaks the format.
    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(DecodeCode::Corrupt, message)
    }

    /// A file that ends early.
    pub(crate) fn truncated() -> Self {
        Self::new(DecodeCode::Truncated, "the file ends before the image does")
    }

    /// A correct file that is not decoded here.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(DecodeCode::Unsupported, message)
    }
}
