//! The behaviour every connector must show.
