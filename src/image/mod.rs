//! Images: decode, resize, normalise.
